//! Giving up root, with a proof of it in the type system.
//!
//! The user is looked up while the files that name users can be seen; root is given up when nothing
//! needs it any more; and serving asks for the [`Unprivileged`] that only this module makes.

use nix::errno::Errno;
use nix::unistd::{Gid, Uid, geteuid, getgroups, getresgid, getresuid, setgid, setgroups, setuid};

use super::failure::Failure;
use crate::sys::capability::may_change_user;
use crate::sys::ids::User;

/// The process as it was started.
#[derive(Debug)]
pub struct Privileges {
    /// User to change to; none = the process is not root and keeps its user.
    next: Option<User>,
}

/// Proof that root is given up, or never was ours.
#[derive(Debug)]
pub struct Unprivileged(());

impl Privileges {
    /// Looks at who we are, and finds `user` if we are root (thttpd: otherwise the option is ignored).
    ///
    /// # Errors
    ///
    /// There is no such user, or we are a root that may not become another user.
    pub fn of_process(user: &str) -> Result<Privileges, Failure> {
        if !geteuid().is_root() {
            return Ok(Privileges { next: None });
        }
        let Some(next) = User::find(user) else {
            return Err(Failure::new(
                format!("unknown user - '{user}'"),
                "name a user of /etc/passwd with -u, or give numbers (uid:gid)",
            ));
        };
        if next.uid != 0 && !may_change_user() {
            return Err(Failure::new("this root may not change its user", how_to_become(&next)));
        }
        Ok(Privileges { next: Some(next) })
    }

    /// User that the process will change to, if it still has to.
    pub fn user(&self) -> Option<&User> {
        self.next.as_ref()
    }

    /// Becomes the user: groups, group and user id, for every thread, and looks whether it holds.
    ///
    /// # Errors
    ///
    /// The system refuses, or root could be had again.
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

/// Sets the groups. A refusal is no error where the process has no group but the user's already, as
/// root has in a container that took its capabilities away.
fn set_groups(user: &User) -> nix::Result<()> {
    let groups: Vec<Gid> = user.groups.iter().copied().map(Gid::from_raw).collect();
    match setgroups(&groups) {
        Err(Errno::EPERM) if getgroups()?.iter().all(|group| groups.contains(group)) => Ok(()),
        result => result,
    }
}

/// A refused system call. EINVAL is the answer of a user namespace that does not have the ids.
fn refusal(call: &str, errno: Errno, user: &User) -> Failure {
    let advice = match errno {
        Errno::EPERM | Errno::EINVAL => how_to_become(user),
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

/// Every id is the user's, and root does not come back. A user who *is* root keeps what was asked for.
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
