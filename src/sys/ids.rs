//! User and group look-up in `/etc/passwd` and `/etc/group`.
//!
//! A static binary and an empty root have no name service of the C library. Numeric ids work without these
//! files. `boot/` looks the user up while running as root; [`log`](crate::log) gives its file to that user.

use std::path::Path;

use super::read_text;

/// User to change to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Name as written by the operator.
    pub name: String,
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Supplementary groups, the primary one included.
    pub groups: Vec<u32>,
}

/// Id of `nobody` without a user database: the kernel's overflow id.
const NOBODY: u32 = 65534;

impl User {
    /// Finds `name`: a user name or number, with an optional `:` and a group name or number.
    ///
    /// A given group becomes the only group. `None` if the user or group does not exist.
    pub fn find(name: &str) -> Option<User> {
        let read = |path| read_text(Path::new(path)).unwrap_or_default();
        User::find_in(name, &read("/etc/passwd"), &read("/etc/group"))
    }

    fn find_in(name: &str, passwd: &str, group: &str) -> Option<User> {
        let (user, only_group) = match name.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (name, None),
        };
        let entry = IdEntry::find(user, passwd)?;
        let gid = match only_group {
            Some(wanted) => find_group(wanted, group)?,
            None => entry.gid,
        };
        let mut groups = vec![gid];
        if only_group.is_none() {
            groups.extend(memberships(entry.name, group).filter(|&other| other != gid));
        }
        Some(User { name: name.to_owned(), uid: entry.uid, gid, groups })
    }
}

/// Id of the group called `name`, or `name` itself if it is a number.
pub fn group(name: &str) -> Option<u32> {
    find_group(name, &read_text(Path::new("/etc/group")).unwrap_or_default())
}

/// Fields of one line of the user database.
struct IdEntry<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
}

impl<'a> IdEntry<'a> {
    /// Finds `user` by name first, as a name may consist of digits. A number need not be in the file.
    fn find(user: &'a str, passwd: &'a str) -> Option<IdEntry<'a>> {
        let number = parse_id(user);
        let by_name = passwd.lines().filter_map(IdEntry::parse).find(|entry| entry.name == user);
        let by_number = || passwd.lines().filter_map(IdEntry::parse).find(|entry| Some(entry.uid) == number);
        let without_file = || match number {
            Some(id) => Some(IdEntry { name: "", uid: id, gid: id }),
            None if user == "nobody" => Some(IdEntry { name: user, uid: NOBODY, gid: NOBODY }),
            None if user == "root" => Some(IdEntry { name: user, uid: 0, gid: 0 }),
            None => None,
        };
        by_name.or_else(by_number).or_else(without_file)
    }

    /// Parses `name:password:uid:gid:…`.
    fn parse(line: &'a str) -> Option<IdEntry<'a>> {
        let mut parts = line.split(':');
        let name = parts.next().filter(|name| !name.is_empty())?;
        let (uid, gid) = (parts.nth(1)?, parts.next()?);
        Some(IdEntry { name, uid: parse_id(uid)?, gid: parse_id(gid)? })
    }
}

/// Finds a group in lines `name:password:gid:member,member`.
fn find_group(wanted: &str, group: &str) -> Option<u32> {
    let mut lines = group.lines().map(|line| line.split(':'));
    let named = lines.find_map(|mut parts| (parts.next()? == wanted).then(|| parse_id(parts.nth(1)?))?);
    let without_file = || if wanted == "root" { Some(0) } else { parse_id(wanted) };
    named.or_else(without_file)
}

/// Groups with the member `name`.
fn memberships<'a>(name: &'a str, group: &'a str) -> impl Iterator<Item = u32> + 'a {
    group.lines().filter_map(move |line| {
        let mut parts = line.split(':').skip(2);
        let (gid, members) = (parts.next()?, parts.next()?);
        (!name.is_empty() && members.split(',').any(|member| member.trim() == name)).then(|| parse_id(gid))?
    })
}

/// Parses a decimal id. The largest number means "no change" to the kernel, and is refused.
fn parse_id(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|&id| digits && id != u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str =
        "root:x:0:0:root:/root:/bin/sh\nbroken\nhttpd:x:48:49::/srv:/bin/false\n7:x:7000:7001:::\n";
    const GROUP: &str = "root:x:0:\nweb:x:80:httpd,other\nlogs:x:81: other , httpd\nhttpd:x:49:httpd\n";

    fn find(name: &str) -> Option<(u32, u32, Vec<u32>)> {
        User::find_in(name, PASSWD, GROUP).map(|user| (user.uid, user.gid, user.groups))
    }

    #[test]
    fn a_name_has_its_ids_and_all_its_groups_once() {
        assert_eq!(find("httpd"), Some((48, 49, vec![49, 80, 81])));
    }

    #[test]
    fn a_number_is_looked_up_but_need_not_be_known() {
        assert_eq!(find("48"), Some((48, 49, vec![49, 80, 81])));
        assert_eq!(find("1234"), Some((1234, 1234, vec![1234])));
    }

    #[test]
    fn a_name_of_digits_is_a_name_first() {
        assert_eq!(find("7"), Some((7000, 7001, vec![7001])));
    }

    #[test]
    fn a_group_behind_a_colon_is_the_only_one() {
        assert_eq!(find("httpd:web"), Some((48, 80, vec![80])));
        assert_eq!(find("1000:2000"), Some((1000, 2000, vec![2000])));
        assert_eq!(find("httpd:nosuch"), None);
    }

    #[test]
    fn missing_users_are_not_found() {
        for name in ["nosuch", "", "-1", "+1", "4294967295", "99999999999", " 1", "broken"] {
            assert_eq!(find(name), None, "{name:?}");
        }
    }

    #[test]
    fn root_and_nobody_exist_in_an_empty_root() {
        for (name, id) in [("nobody", 65534), ("root", 0)] {
            let found = User::find_in(name, "", "").map(|user| (user.uid, user.gid));
            assert_eq!(found, Some((id, id)));
        }
        assert_eq!(User::find_in("root:root", "", "").map(|user| user.gid), Some(0));
        assert_eq!(User::find_in("httpd", "", ""), None);
    }
}
