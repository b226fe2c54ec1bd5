//! wrk as the load generator: its command, and its output → counts.

use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

use super::histogram::Histogram;
use super::tally::Tally;
use crate::Result;
use crate::interrupt;
use crate::server::known::find_program;

/// The program, and the Debian package that holds it.
pub const NAME: &str = "wrk";

/// Most bytes of an answer's head on average.
const HEAD: u64 = 1024;

/// A load that wrk makes with one thread, in a closed loop.
pub struct Job {
    /// The server.
    pub address: SocketAddrV4,
    /// Request target, with its slash.
    pub target: String,
    /// A field line of the request, without its end.
    pub field: Option<String>,
    /// Bytes of each answer's body.
    pub body: u64,
    /// Connections, which persist.
    pub connections: usize,
    /// Time that counts; wrk knows whole seconds.
    pub duration: Duration,
}

/// Where wrk lies, if it is installed.
pub fn installed() -> Option<PathBuf> {
    find_program(NAME)
}

impl Job {
    /// Runs wrk and returns what it counted. Its latencies are those it shows, which it raises for requests
    /// that a slow answer kept from being sent.
    ///
    /// # Errors
    /// wrk is not installed, fails or prints something else than expected.
    pub fn run(&self) -> Result<Tally> {
        let program = installed().ok_or("wrk is not installed")?;
        let before = children_cpu()?;
        let child = interrupt::let_through(|| Ok(self.command(&program).spawn()?))?;
        let output = child.wait_with_output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            return Err(format!("wrk ended with {}: {}", output.status, text.trim()).into());
        }
        // No other child ends meanwhile, so the difference is wrk's.
        Ok(Tally { cpu: children_cpu()?.saturating_sub(before), ..self.read(&text)? })
    }

    /// Whole seconds that wrk runs for.
    fn seconds(&self) -> u64 {
        self.duration.as_secs_f64().ceil().max(1.0) as u64
    }

    fn command(&self, program: &Path) -> Command {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/wrk.lua");
        let mut command = Command::new(program);
        command.args(["-t", "1", "--latency", "-c", &self.connections.to_string()]);
        command.args(["-d", &format!("{}s", self.seconds()), "-s"]).arg(script);
        if let Some(field) = &self.field {
            command.args(["-H", field]);
        }
        command.arg(format!("http://{}{}", self.address, self.target));
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        command
    }

    /// Reads the lines of `wrk.lua`.
    fn read(&self, output: &str) -> Result<Tally> {
        let line = |name: &str| {
            let line = output.lines().find_map(|line| line.strip_prefix(name));
            numbers(line.ok_or_else(|| format!("wrk printed no line of {}", name.trim()))?)
        };
        let (totals, errors) = (line("totals ")?, line("errors ")?);
        let ([requests, microseconds, bytes], [connect, read, write, status, timeout]) =
            (totals.as_slice(), errors.as_slice())
        else {
            return Err("wrk printed other totals than expected".into());
        };
        let mut latency = Histogram::default();
        for line in output.lines().filter_map(|line| line.strip_prefix("latency ")) {
            if let [microseconds, times] = *numbers(line)? {
                latency.record_many(Duration::from_micros(microseconds), times);
            }
        }
        let responses = requests.saturating_sub(*status);
        let mut tally = Tally {
            responses,
            body_bytes: self.body * responses,
            latency,
            elapsed: Duration::from_micros(*microseconds),
            faults: connect + read + write + status + timeout,
            ..Tally::default()
        };
        if tally.faults > 0 {
            tally.first_fault = Some(format!(
                "wrk counted errors: connect {connect}, read {read}, write {write}, timeout {timeout}, \
                 status above 399 {status}"
            ));
        } else if !(self.body..=self.body + HEAD).contains(&(bytes / requests.max(&1))) {
            // wrk compares neither status nor length with anything.
            tally.faults = *requests;
            tally.first_fault = Some(format!("wrk received {bytes} bytes in {requests} answers"));
        }
        Ok(tally)
    }
}

fn numbers(line: &str) -> Result<Vec<u64>> {
    Ok(line.split_whitespace().map(str::parse).collect::<std::result::Result<_, _>>()?)
}

/// Processor time of all children that have ended.
fn children_cpu() -> Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let microseconds = (usage.user_time() + usage.system_time()).num_microseconds();
    Ok(Duration::from_micros(microseconds.unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn job(body: u64) -> Job {
        Job {
            address: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 8080),
            target: "/1k.txt".to_owned(),
            field: Some("If-Modified-Since: never".to_owned()),
            body,
            connections: 4,
            duration: Duration::from_millis(1200),
        }
    }

    const GOOD: &str = "Running 2s test @ http://127.0.0.1:8080/1k.txt\n  1000 requests in 2.00s\n\
                        totals 1000 2000000 1300000\nerrors 0 0 0 0 0\nlatency 100 990\nlatency 5000 10\n";

    #[test]
    fn totals_and_latencies_are_counted() {
        let tally = job(1024).read(GOOD).unwrap();
        assert_eq!((tally.responses, tally.faults, tally.body_bytes), (1000, 0, 1_024_000));
        assert_eq!(tally.elapsed, Duration::from_secs(2));
        assert!(tally.latency.percentile(0.99) < Duration::from_micros(102));
        assert_eq!(tally.latency.longest(), Duration::from_millis(5));
    }

    #[test]
    fn errors_are_faults_and_are_told() {
        let text = GOOD.replace("errors 0 0 0 0 0", "errors 1 2 3 40 5");
        let tally = job(1024).read(&text).unwrap();
        assert_eq!((tally.responses, tally.faults), (960, 51));
        let fault = tally.first_fault.unwrap();
        assert!(fault.contains("read 2") && fault.contains("status above 399 40"), "{fault}");
    }

    #[test]
    fn answers_of_another_size_are_faults() {
        // A server that does not answer 304 sends the page.
        assert_eq!(job(0).read(GOOD).unwrap().faults, 1000);
        assert_eq!(job(4096).read(GOOD).unwrap().faults, 1000);
    }

    #[test]
    fn output_without_totals_is_an_error() {
        assert!(job(1024).read("unable to connect").is_err());
        assert!(job(1024).read("totals 1 2\nerrors 0 0 0 0 0\n").is_err());
    }

    #[test]
    fn the_command_says_connections_whole_seconds_and_field() {
        let command = job(1024).command(Path::new("/usr/bin/wrk"));
        let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy().into_owned()).collect();
        let line = words.join(" ");
        assert!(line.starts_with("-t 1 --latency -c 4 -d 2s -s "), "{line}");
        assert!(line.ends_with("-H If-Modified-Since: never http://127.0.0.1:8080/1k.txt"), "{line}");
    }
}
