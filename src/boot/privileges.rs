//! Dropping root, with a proof in the type system.
//!
//! The user is looked up while the user database is visible. Root is dropped when no later step needs it.
//! Serving requires an [`Unprivileged`], which only this module creates.

use nix::errno::Errno;
use nix::unistd::{Gid, Uid, geteuid, getgroups, getresgid, getresuid, setgid, setgroups, setuid};

use super::failure::Failure;
use crate::sys::capability::may_change_user;
use crate::sys::ids::User;

/// Privileges of the started process.
#[derive(Debug)]
pub struct Privileges {
    /// User to change to; `None` if the process is not root and keeps its user.
    next: Option<User>,
}

/// Proof that the process has dropped root, or never was root.
#[derive(Debug)]
pub struct Unprivileged(());

impl Privileges {
    /// Privileges of this process; looks `user` up if it runs as root (otherwise ignored, as in thttpd).
    ///
    /// # Errors
    /// The user does not exist, or root lacks the capability to change users.
    pub fn of_process(user: &str) -> Result<Privileges, Failure> {
        if !geteuid().is_root() {
            return Ok(Privileges { next: None });
        }
        let Some(next) = User::find(user) else {
            return Err(Failure::new(
                format!("unknown user - '{user}'"),
                "name a user of /etc/passwd with -u, or give numbers (uid:gid)",
            )
            .with_option("user"));
        };
        if next.uid != 0 && !may_change_user() {
            return Err(
                Failure::new("this root may not change its user", how_to_become(&next)).with_option("user")
            );
        }
        Ok(Privileges { next: Some(next) })
    }

    /// User that the process still has to change to.
    pub fn user(&self) -> Option<&User> {
        self.next.as_ref()
    }

    /// Changes groups, group and user id for all threads, and verifies the result.
    ///
    /// # Errors
    /// The system refuses, or root could be regained.
    pub fn give_up(self) -> Result<Unprivileged, Failure> {
        let Some(user) = self.next else { return Ok(Unprivileged(())) };
        let refused = |call, errno| refusal(call, errno, &user);
        set_groups(&user).map_err(|errno| refused("setgroups", errno))?;
        setgid(Gid::from_raw(user.gid)).map_err(|errno| refused("setgid", errno))?;
        setuid(Uid::from_raw(user.uid)).map_err(|errno| refused("setuid", errno))?;
        verify(&user)?;
        Ok(Unprivileged(()))
    }
}

/// Sets the groups.
///
/// A refusal is no error if the process has no other group than the user's, as root without capabilities in
/// a container.
fn set_groups(user: &User) -> nix::Result<()> {
    let groups: Vec<Gid> = user.groups.iter().copied().map(Gid::from_raw).collect();
    match setgroups(&groups) {
        Err(Errno::EPERM) if getgroups()?.iter().all(|group| groups.contains(group)) => Ok(()),
        result => result,
    }
}

/// Failure of a refused system call.
fn refusal(call: &str, errno: Errno, user: &User) -> Failure {
    let advice = match errno {
        Errno::EPERM => how_to_become(user),
        Errno::EINVAL => {
            let User { name, uid, gid, .. } = user;
            format!(
                "{name} ({uid}:{gid}) is not mapped into this user namespace: map it, or name another user with -u"
            )
        }
        _ => format!("root cannot become {}", user.name),
    };
    Failure::from_call(call, errno, advice)
}

fn how_to_become(user: &User) -> String {
    let User { name, uid, gid, .. } = user;
    format!(
        "to become {name} it needs CAP_SETUID and CAP_SETGID: allow both, or start as that user \
         (--user {uid}:{gid} for a container)"
    )
}

/// Verifies that all ids are the user's and root cannot be regained, unless the user is root.
fn verify(user: &User) -> Result<(), Failure> {
    let lasting = || Failure::new("root could not be given up", "this should not happen; nothing was served");
    let refused = |errno: Errno| Failure::from_call("getresuid", errno, "");
    let (uids, gids) = (getresuid().map_err(refused)?, getresgid().map_err(refused)?);
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    let mut groups: Vec<u32> = getgroups().map_err(refused)?.into_iter().map(Gid::as_raw).collect();
    groups.retain(|group| !user.groups.contains(group));
    let ours = [uids.real, uids.effective, uids.saved] == [uid; 3]
        && [gids.real, gids.effective, gids.saved] == [gid; 3]
        && groups.is_empty();
    if !ours || (!uid.is_root() && setuid(Uid::from_raw(0)).is_ok()) {
        return Err(lasting());
    }
    Ok(())
}
