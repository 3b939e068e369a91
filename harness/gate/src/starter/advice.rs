//! What to tell a person whose machine forbids what the starter needs: which setting it is, and
//! the command that changes it.

use std::fs;

use rustix::io::Errno;

/// Advice for a failed setup, from the error and the machine's settings.
pub fn hint(error: &anyhow::Error) -> Option<String> {
    let errno = error.chain().find_map(|cause| {
        cause
            .downcast_ref::<Errno>()
            .map(|e| e.raw_os_error())
            .or_else(|| cause.downcast_ref::<std::io::Error>()?.raw_os_error())
    })?;
    let text = format!("{error:#}");
    advise(errno, &text, |path| {
        fs::read_to_string(path).unwrap_or_default()
    })
}

/// See [`hint`]; `setting` reads a file under /proc.
fn advise(errno: i32, text: &str, setting: impl Fn(&str) -> String) -> Option<String> {
    if text.contains("/dev/net/tun") {
        return match errno {
            libc::ENOENT | libc::ENODEV | libc::ENXIO => Some("sudo modprobe tun".to_owned()),
            libc::EACCES | libc::EPERM => Some("sudo chmod 0666 /dev/net/tun".to_owned()),
            _ => None,
        };
    }
    let is = |name: &str, value: &str| setting(name).trim() == value;
    if errno == libc::ENOSPC && is("/proc/sys/user/max_user_namespaces", "0") {
        return Some(
            "user namespaces are switched off: sudo sysctl user.max_user_namespaces=65536"
                .to_owned(),
        );
    }
    if !matches!(
        errno,
        libc::EPERM | libc::EACCES | libc::ENOSPC | libc::EUSERS
    ) {
        return None;
    }
    if is("/proc/sys/kernel/unprivileged_userns_clone", "0") {
        return Some(
            "user namespaces are for root alone here: \
             sudo sysctl kernel.unprivileged_userns_clone=1"
                .to_owned(),
        );
    }
    if is(
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
        "1",
    ) {
        return Some(
            "AppArmor forbids user namespaces to programs without a profile: \
             sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0"
                .to_owned(),
        );
    }
    let status = setting("/proc/self/status");
    if status
        .lines()
        .any(|l| l.split_ascii_whitespace().eq(["Seccomp:", "2"]))
    {
        return Some(if text.contains("/proc") {
            "this runs in a container that hides parts of /proc: start that container with \
             --security-opt systempaths=unconfined"
                .to_owned()
        } else {
            "this runs in a container that forbids user namespaces: start that container with \
             --security-opt seccomp=unconfined --security-opt apparmor=unconfined"
                .to_owned()
        });
    }
    (errno == libc::ENOSPC || errno == libc::EUSERS)
        .then(|| "too many namespaces exist: look at the limits in /proc/sys/user/".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advice(errno: i32, text: &str, settings: &[(&str, &str)]) -> String {
        let read = |path: &str| {
            let found = settings.iter().find(|(name, _)| path.ends_with(name));
            found.map_or(String::new(), |(_, value)| (*value).to_owned())
        };
        advise(errno, text, read).unwrap_or_default()
    }

    #[test]
    fn the_setting_that_forbids_is_named_with_its_command() {
        let make = "cannot make namespaces";
        for (errno, text, settings, expected) in [
            (
                libc::EPERM,
                make,
                &[("unprivileged_userns_clone", "0\n")][..],
                "sudo sysctl kernel.unprivileged_userns_clone=1",
            ),
            (
                libc::EACCES,
                "cannot mount",
                &[("apparmor_restrict_unprivileged_userns", "1\n")],
                "sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0",
            ),
            (
                libc::ENOSPC,
                make,
                &[("max_user_namespaces", "0\n")],
                "sudo sysctl user.max_user_namespaces=65536",
            ),
            (
                libc::EPERM,
                make,
                &[("status", "Name:\tx\nSeccomp:\t2\n")],
                "seccomp=unconfined",
            ),
            (
                libc::EPERM,
                "cannot mount /proc",
                &[("status", "Seccomp:\t2\n")],
                "systempaths=unconfined",
            ),
            (
                libc::ENOENT,
                "cannot open /dev/net/tun",
                &[],
                "modprobe tun",
            ),
            (
                libc::EACCES,
                "cannot open /dev/net/tun",
                &[],
                "chmod 0666 /dev/net/tun",
            ),
        ] {
            let advice = advice(errno, text, settings);
            assert!(advice.contains(expected), "{text}: {advice}");
        }
        assert_eq!(advice(libc::EIO, make, &[]), "");
        assert_eq!(
            advice(libc::EPERM, make, &[("status", "Seccomp:\t0\n")]),
            ""
        );
    }
}
