//! A server from start to stop: fills in its command, waits for its first answer, ends it with its
//! work directory.

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{Server, usage};
use crate::Result;
use crate::interrupt;
use crate::load::head::Exchange;

/// How long a server may take to its first answer, and to end.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often we ask whether it is there; small, for the time to the first answer is measured.
const ASK_AGAIN: Duration = Duration::from_micros(100);

/// Values that a start fills into a server's command and configuration: `{port}`, `{root}`, `{work}`,
/// `{conf}`, `{connections}` and `{descriptors}`.
pub struct Setting<'a> {
    /// The tree to serve.
    pub root: &'a Path,
    /// A directory of the server's own; removed at the end.
    pub work: PathBuf,
    /// Connections it must hold at a time.
    pub connections: usize,
    /// First request.
    pub first: &'a Exchange,
}

/// A started server; dropping it ends it.
pub struct Running {
    child: Child,
    work: PathBuf,
    /// Where it listens.
    pub address: SocketAddrV4,
    /// From just before `exec` to the last byte of the first answer.
    pub first_answer: Duration,
}

impl Running {
    /// Starts the server on a free port and waits until it has answered once.
    ///
    /// # Errors
    /// It cannot be started, ends at once, answers wrongly or not in time.
    pub fn start(server: &Server, setting: Setting) -> Result<Self> {
        let address = free_address()?;
        fs::create_dir_all(&setting.work)?;
        fs::set_permissions(&setting.work, Permissions::from_mode(0o777))?;
        let places = places(server, &setting, address.port())?;
        let command: Vec<_> = server.command.iter().map(|word| fill(word, &places)).collect();
        let output = File::create(setting.work.join("output.txt"))?;
        let mut program = Command::new(&command[0]);
        program.args(&command[1..]).current_dir(&setting.work);
        program.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let begun = Instant::now();
        let child = interrupt::let_through(|| {
            program.spawn().map_err(|error| format!("{}: {error}", command[0]).into())
        })?;
        let mut running = Self { child, work: setting.work, address, first_answer: Duration::ZERO };
        running.wait_for_answer(setting.first, begun)?;
        Ok(running)
    }

    /// The server's processes.
    ///
    /// # Errors
    /// `/proc` cannot be read.
    pub fn processes(&self) -> Result<Vec<i32>> {
        usage::family(self.process())
    }

    /// The process that was started.
    pub fn process(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// Asks for something over a new connection and returns the body.
    ///
    /// # Errors
    /// The answer is wrong or does not come.
    pub fn ask(&self, exchange: &Exchange) -> Result<Vec<u8>> {
        let mut stream = TcpStream::connect_timeout(&SocketAddr::V4(self.address), PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(&exchange.request)?;
        exchange.receive(&mut stream)
    }

    fn wait_for_answer(&mut self, first: &Exchange, begun: Instant) -> Result<()> {
        loop {
            let asked = self.ask(first);
            self.first_answer = begun.elapsed();
            let Err(error) = asked else { return Ok(()) };
            if let Some(status) = self.child.try_wait()? {
                return Err(format!("ended with {status}: {}", self.output()).into());
            }
            if begun.elapsed() > PATIENCE {
                return Err(format!("gave no right answer: {error} {}", self.output()).into());
            }
            thread::sleep(ASK_AGAIN);
        }
    }

    /// Output of the server, to explain why it did not start.
    fn output(&self) -> String {
        let text = fs::read_to_string(self.work.join("output.txt")).unwrap_or_default();
        text.lines().take(3).collect::<Vec<_>>().join("; ")
    }

    /// Asks the server to end, and ends what has not by the deadline.
    fn stop(&mut self) -> Result<()> {
        let family = self.processes()?;
        let parent = Pid::from_raw(self.process());
        if self.child.try_wait()?.is_none() {
            kill(parent, Signal::SIGTERM)?;
        }
        let deadline = Instant::now() + PATIENCE;
        while self.child.try_wait()?.is_none() {
            if Instant::now() > deadline {
                for &process in &family {
                    // The process may have ended by now, as wanted.
                    let _ = kill(Pid::from_raw(process), Signal::SIGKILL);
                }
                self.child.wait()?;
            }
            thread::sleep(Duration::from_millis(1));
        }
        fs::remove_dir_all(&self.work)?;
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            eprintln!("could not end process {}: {error}", self.child.id());
        }
    }
}

/// A loopback port that was free a moment ago.
fn free_address() -> Result<SocketAddrV4> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(SocketAddrV4::new(Ipv4Addr::LOCALHOST, listener.local_addr()?.port()))
}

/// Value of each place, once the configuration is written.
fn places(server: &Server, setting: &Setting, port: u16) -> Result<Vec<(&'static str, String)>> {
    let mut places = vec![
        ("port", port.to_string()),
        ("root", setting.root.display().to_string()),
        ("work", setting.work.display().to_string()),
        ("connections", setting.connections.to_string()),
        ("descriptors", descriptors()?.to_string()),
    ];
    places.extend(server.places.iter().map(|&(name, value)| (name, value.to_owned())));
    if let Some(template) = &server.configuration {
        let text =
            fs::read_to_string(template).map_err(|error| format!("{}: {error}", template.display()))?;
        let written = setting.work.join("server.conf");
        fs::write(&written, fill(&text, &places))?;
        places.push(("conf", written.display().to_string()));
    }
    Ok(places)
}

/// Descriptors a server may have: what it inherits from us.
fn descriptors() -> Result<u64> {
    Ok(getrlimit(Resource::RLIMIT_NOFILE)?.1)
}

fn fill(text: &str, places: &[(&'static str, String)]) -> String {
    places.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_filled_wherever_they_stand() {
        let places = [("port", "8080".to_owned()), ("root", "/srv".to_owned())];
        assert_eq!(fill("-p {port} -d {root}/{port} {other}", &places), "-p 8080 -d /srv/8080 {other}");
    }
}
