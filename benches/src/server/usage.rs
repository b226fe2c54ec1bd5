//! Resources that a server's processes have used, as `/proc` tells.

use std::fs;
use std::time::Duration;

use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::{Pid, SysconfVar, sysconf};

use crate::Result;

/// Memory of all processes together, in KiB.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Resident, pages shared between the processes counted in each.
    pub resident: u64,
    /// Resident memory with each shared page split among the processes that share it.
    pub proportional: u64,
}

/// A process and all its descendants.
///
/// # Errors
/// `/proc` cannot be read.
pub fn family(ancestor: i32) -> Result<Vec<i32>> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(process) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        // A process may end while we look.
        if let Ok(stat) = fs::read_to_string(format!("/proc/{process}/stat")) {
            parents.push((process, field(&stat, 4).unwrap_or_default()));
        }
    }
    let mut family = vec![ancestor];
    let mut next = 0;
    while next < family.len() {
        let parent = i64::from(family[next]);
        family.extend(parents.iter().filter(|entry| entry.1 == parent).map(|entry| entry.0));
        next += 1;
    }
    Ok(family)
}

/// Processor time, user and system, that the processes have used so far, to the nanosecond.
///
/// # Errors
/// One of them has ended.
pub fn cpu(processes: &[i32]) -> Result<Duration> {
    let used = processes.iter().map(|&process| {
        let clock = clock_getcpuclockid(Pid::from_raw(process)).and_then(clock_gettime);
        clock.map(Duration::from).map_err(|errno| format!("process {process}: {errno}").into())
    });
    used.sum()
}

/// How often the processes' threads have gone to sleep so far (voluntary context switches).
///
/// # Errors
/// One of them has ended.
pub fn sleeps(processes: &[i32]) -> Result<u64> {
    let mut sleeps = 0;
    for process in processes {
        for thread in fs::read_dir(format!("/proc/{process}/task"))? {
            // A thread may end while we look.
            let status = fs::read_to_string(thread?.path().join("status")).unwrap_or_default();
            sleeps += number_after(&status, "voluntary_ctxt_switches:");
        }
    }
    Ok(sleeps)
}

/// Processor time that all programs on this machine have used so far, and time stolen from it by its
/// host.
///
/// # Errors
/// `/proc/stat` cannot be read, or the system has no clock tick.
pub fn machine_cpu() -> Result<Duration> {
    let stat = fs::read_to_string("/proc/stat")?;
    seconds(busy_ticks(&stat).ok_or("cannot read /proc/stat")?)
}

/// Memory of the processes now.
///
/// # Errors
/// One of them has ended.
pub fn memory(processes: &[i32]) -> Result<Memory> {
    let mut memory = Memory::default();
    for process in processes {
        let text = fs::read_to_string(format!("/proc/{process}/smaps_rollup"))
            .map_err(|error| format!("process {process}: {error}"))?;
        memory.resident += number_after(&text, "Rss:");
        memory.proportional += number_after(&text, "Pss:");
    }
    Ok(memory)
}

/// Whether every thread of the processes has a tracer.
///
/// # Errors
/// One of them has ended.
pub fn all_traced(processes: &[i32]) -> Result<bool> {
    for process in processes {
        for thread in fs::read_dir(format!("/proc/{process}/task"))? {
            let status = fs::read_to_string(thread?.path().join("status"))?;
            if status.lines().any(|line| line.split_whitespace().eq(["TracerPid:", "0"])) {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

fn seconds(ticks: i64) -> Result<Duration> {
    let ticks_a_second = sysconf(SysconfVar::CLK_TCK)?.ok_or("no clock tick")?;
    Ok(Duration::try_from_secs_f64(ticks as f64 / ticks_a_second as f64)?)
}

/// The first line of `/proc/stat`: user, nice, system, idle, iowait, irq, softirq, steal; idle and
/// iowait are left out.
fn busy_ticks(stat: &str) -> Option<i64> {
    let fields = stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace();
    let ticks: Vec<i64> = fields.map_while(|field| field.parse().ok()).collect();
    Some(ticks.get(..3)?.iter().chain(ticks.get(5..8)?).sum())
}

/// A numeric field of `/proc/PID/stat` by its number in proc(5); 3 is the first after the name.
fn field(stat: &str, number: usize) -> Option<i64> {
    // The name in parentheses may hold anything, spaces and parentheses included.
    let after_name = &stat[stat.rfind(')')? + 1..];
    after_name.split_whitespace().nth(number - 3)?.parse().ok()
}

/// The number behind the label at the beginning of a line, or zero.
fn number_after(text: &str, label: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(label));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_name_with_blanks_and_parentheses_does_not_shift_the_fields() {
        let stat = "12 (a (b) c) S 7 12 12 0 -1 4194304 1 2 3 4 50 60 0 0";
        assert_eq!(field(stat, 4), Some(7));
        assert_eq!(field(stat, 14), Some(50));
    }

    #[test]
    fn processor_time_and_sleeps_are_counted() {
        let ourselves = [std::process::id().cast_signed()];
        let before = cpu(&ourselves).unwrap();
        while cpu(&ourselves).unwrap() == before {}
        // Threads of other tests end meanwhile and take their counts along.
        std::thread::sleep(Duration::from_millis(1));
        assert!(sleeps(&ourselves).unwrap() > 0);
        // Beyond the largest number that a process may have.
        assert!(cpu(&[1 << 23]).is_err());
    }

    #[test]
    fn idle_time_and_waiting_for_disks_do_not_make_a_machine_busy() {
        let stat = "cpu  1 20 300 9999 9999 4000 50000 600000 7 7\ncpu0 5 5 5 5 5 5 5 5 5 5\n";
        assert_eq!(busy_ticks(stat), Some(654_321));
    }

    #[test]
    fn sleeps_are_told_from_preemptions() {
        let status = "Threads:\t3\nvoluntary_ctxt_switches:\t40\nnonvoluntary_ctxt_switches:\t7\n";
        assert_eq!(number_after(status, "voluntary_ctxt_switches:"), 40);
    }

    #[test]
    fn memory_is_read_from_its_label() {
        let text = "55-56 rollup\nRss:            1412 kB\nPss:             612 kB\nPss_Dirty: 9 kB\n";
        assert_eq!((number_after(text, "Rss:"), number_after(text, "Pss:")), (1412, 612));
    }
}
