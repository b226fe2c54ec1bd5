//! The server's front door.
use std::sync::Arc;
use thttpd::log::{access::AccessLog, stats::Stats};
fn main() {
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    let invocation = match thttpd::config::args::parse(&args, "thttpd") {
        Ok(i) => i,
        Err(e) => {
            eprintln!("{e}");
            std::process::exit(1)
        }
    };
    let config = invocation.config;
    let log = Arc::new(AccessLog::open(&config.log, None).expect("log"));
    let throttles = match &config.throttle_file {
        Some(f) => thttpd::throttle::Throttles::load(f).expect("throttles").0,
        None => thttpd::throttle::Throttles::none(),
    };
    if let Some(dir) = &config.dir {
        std::env::set_current_dir(dir).expect("chdir");
    }
    let l = std::net::TcpListener::bind(("127.0.0.1", config.port)).expect("bind");
    if nix::unistd::getuid().is_root() {
        nix::unistd::setgid(65534.into()).unwrap();
        nix::unistd::setuid(65534.into()).unwrap();
    }
    log.start().expect("log");
    let cwd = std::env::current_dir().expect("cwd");
    let site = thttpd::site::Site::new(
        Arc::new(config),
        cwd.as_os_str().as_encoded_bytes(),
        Arc::new(throttles),
        log.clone(),
        Arc::new(Stats::default()),
    )
    .expect("site");
    let _server = thttpd::net::Server::start(vec![l], Arc::new(site)).expect("start");
    loop {
        std::thread::park();
    }
}
