//! From root to somebody who can do no harm, with proof.
//!
//! The user is looked up while the files that name users can be seen; root is given up when nothing
//! needs it any more; and serving asks for the [`Unprivileged`] that only this module makes.

use nix::errno::Errno;
use nix::unistd::{Gid, Uid, geteuid, getgroups, getresgid, getresuid, setgid, setgroups, setuid};

use super::failure::Failure;
use crate::sys::ids::User;

/// The process as it was started.
#[derive(Debug)]
pub struct Privileges {
    /// Whom to become; none = we are not root and stay who we are.
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
    /// There is no such user.
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
        Ok(Privileges { next: Some(next) })
    }

    /// Whom we will become, if that is ahead.
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
        let advice = || format!("root cannot become {}", user.name);
        let groups: Vec<Gid> = user.groups.iter().copied().map(Gid::from_raw).collect();
        setgroups(&groups).map_err(|errno| Failure::of("setgroups", errno, advice()))?;
        setgid(Gid::from_raw(user.gid)).map_err(|errno| Failure::of("setgid", errno, advice()))?;
        setuid(Uid::from_raw(user.uid)).map_err(|errno| Failure::of("setuid", errno, advice()))?;
        verify(&user)?;
        Ok(Unprivileged(()))
    }
}

/// Every id is the user's, and root does not come back. A user who *is* root keeps what was asked for.
fn verify(user: &User) -> Result<(), Failure> {
    let lasting = || Failure::new("root could not be given up", "this should not happen; nothing was served");
    let refused = |errno: Errno| Failure::of("getresuid", errno, "");
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
