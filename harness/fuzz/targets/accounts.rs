//! An image's account files, by which the gate resolves the user that the image names.
#![cfg_attr(feature = "libfuzzer", no_main)]

use peerlab_fuzz::parts;
use peerlab_gate::fuzz::Identity;

pub fn check(bytes: &[u8]) -> bool {
    let texts: Vec<_> = parts(bytes)
        .into_iter()
        .map(String::from_utf8_lossy)
        .collect();
    let [user, passwd, group] = &texts[..] else {
        return false;
    };
    let Ok(identity) = Identity::resolve_in(user, passwd, group) else {
        return false;
    };
    let (name, named_group) = user.split_once(':').unwrap_or((user, ""));
    let is_told = |id: u32, text: &str, by: &str| {
        by.parse() == Ok(id)
            || text
                .split([':', '\n', '\r'])
                .any(|field| field.parse() == Ok(id))
    };
    // Nobody becomes who was named nowhere.
    assert!(is_told(identity.uid, passwd, name), "{identity:?}");
    let by_group = is_told(identity.gid, group, named_group);
    assert!(
        by_group || is_told(identity.gid, passwd, "0"),
        "{identity:?}"
    );
    assert!(identity.groups.iter().all(|id| is_told(*id, group, "")));
    true
}

peerlab_fuzz::target!();
