//! Who the program is to be: a user as an image names it, resolved by the image's own
//! `/etc/passwd` and `/etc/group`, with the rules of the container engines. Pure but for reading
//! those two files.

use std::path::Path;

use anyhow::{Context as _, Result};

/// A resolved identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// Home directory: the account's, or `/` where there is no account.
    pub home: String,
}

/// Longest `/etc/passwd` or `/etc/group` that is read, bytes: real ones are a few kB, and an
/// image is a stranger.
const ACCOUNT_FILE_BYTES_MAX: u64 = 4 << 20;

impl Identity {
    /// Resolves `USER[:GROUP]`, each a name or a number, in this root filesystem.
    ///
    /// # Errors
    /// When a name has no account, or a file cannot be read.
    pub fn resolve(spec: &str) -> Result<Identity> {
        let passwd = read_accounts(Path::new("/etc/passwd"))?;
        let group = read_accounts(Path::new("/etc/group"))?;
        Identity::resolve_in(spec, &passwd, &group)
    }

    /// As [`Identity::resolve`], in given account files.
    ///
    /// An account that is found by name or number gives its group, home, and (unless a group is
    /// named) supplementary groups; a number without an account has group 0 and home `/`.
    ///
    /// # Errors
    /// When a name has no account.
    pub fn resolve_in(spec: &str, passwd: &str, group: &str) -> Result<Identity> {
        let (user, named_group) = match spec.split_once(':') {
            Some((user, group)) if !group.is_empty() => (user, Some(group)),
            Some((user, _)) => (user, None),
            None => (spec, None),
        };
        let number = user.parse::<u32>().ok();
        let account = accounts(passwd).find(|a| a.name == user || Some(a.uid) == number);
        let mut identity = match (&account, number) {
            (Some(a), _) => Identity {
                uid: a.uid,
                gid: a.gid,
                groups: Vec::new(),
                home: a.home.to_owned(),
            },
            (None, Some(uid)) => Identity {
                uid,
                gid: 0,
                groups: Vec::new(),
                home: "/".to_owned(),
            },
            (None, None) => {
                anyhow::bail!("the image has no user {user:?} in /etc/passwd")
            }
        };
        match (named_group, account) {
            (Some(name), _) => {
                let number = name.parse::<u32>().ok();
                identity.gid = groups(group)
                    .find(|g| g.name == name || Some(g.gid) == number)
                    .map(|g| g.gid)
                    .or(number)
                    .with_context(|| format!("the image has no group {name:?} in /etc/group"))?;
            }
            (None, Some(account)) => {
                identity.groups = groups(group)
                    .filter(|g| g.members.split(',').any(|m| m == account.name))
                    .map(|g| g.gid)
                    .collect();
            }
            (None, None) => {}
        }
        Ok(identity)
    }
}

/// One line of `/etc/passwd`.
struct Account<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

/// One line of `/etc/group`.
struct Group<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

/// The well-formed lines of `/etc/passwd`.
fn accounts(text: &str) -> impl Iterator<Item = Account<'_>> {
    text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        let home = fields.nth(1).filter(|h| !h.is_empty()).unwrap_or("/");
        Some(Account {
            name,
            uid,
            gid,
            home,
        })
    })
}

/// The well-formed lines of `/etc/group`.
fn groups(text: &str) -> impl Iterator<Item = Group<'_>> {
    text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let gid = fields.nth(1)?.parse().ok()?;
        Some(Group {
            name,
            gid,
            members: fields.next().unwrap_or(""),
        })
    })
}

/// An account file's text; empty where the image has none.
fn read_accounts(path: &Path) -> Result<String> {
    use std::io::Read as _;

    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(String::new()),
        Err(e) => return Err(e).with_context(|| format!("cannot read {}", path.display())),
    };
    let mut bytes = Vec::new();
    file.take(ACCOUNT_FILE_BYTES_MAX)
        .read_to_end(&mut bytes)
        .with_context(|| format!("cannot read {}", path.display()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n\
        broken line\n\
        app:x:1000:1001:An app:/home/app:/bin/sh\n\
        nohome:x:1002:1002::\n";
    const GROUP: &str = "root:x:0:\napp:x:1001:\nlog:x:4:syslog,app\ndisk:x:6:root,app\nbad\n";

    fn resolve(spec: &str) -> Result<(u32, u32, Vec<u32>, String)> {
        Identity::resolve_in(spec, PASSWD, GROUP).map(|i| (i.uid, i.gid, i.groups, i.home))
    }

    #[test]
    fn names_and_numbers_resolve_as_container_engines_do() {
        let app = |gid, groups: &[u32]| (1000, gid, groups.to_vec(), "/home/app".to_owned());
        assert_eq!(resolve("app").unwrap(), app(1001, &[4, 6]));
        assert_eq!(resolve("1000").unwrap(), app(1001, &[4, 6]));
        assert_eq!(resolve("app:").unwrap(), app(1001, &[4, 6]));
        assert_eq!(resolve("app:log").unwrap(), app(4, &[]));
        assert_eq!(resolve("app:77").unwrap(), app(77, &[]));
        assert_eq!(resolve("5000").unwrap(), (5000, 0, vec![], "/".to_owned()));
        assert_eq!(
            resolve("5000:6").unwrap(),
            (5000, 6, vec![], "/".to_owned())
        );
        assert_eq!(
            resolve("nohome").unwrap(),
            (1002, 1002, vec![], "/".to_owned())
        );
    }

    #[test]
    fn unknown_names_are_refused() {
        assert!(
            resolve("nobody-here")
                .unwrap_err()
                .to_string()
                .contains("no user \"nobody-here\"")
        );
        assert!(
            resolve("app:wheel")
                .unwrap_err()
                .to_string()
                .contains("no group \"wheel\"")
        );
        assert!(resolve("").is_err());
        assert!(resolve("4294967296").is_err());
    }
}
