//! systemd units, and the other files that packages give to system services.

use std::process::Command;

use super::{source, text};

/// Lines of a unit file with settings.
fn settings(path: &str) -> Vec<String> {
    let text = text(path);
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect()
}

#[test]
fn an_instance_has_the_sandbox_of_the_one_service() {
    let service = settings("packaging/systemd/thttpd.service");
    let instance = settings("packaging/systemd/thttpd@.service");
    let as_instance: Vec<String> = service
        .iter()
        .map(|line| {
            line.replace("/etc/thttpd/thttpd.conf", "/etc/thttpd/%i.conf")
                .replace("/etc/default/thttpd", "/etc/default/thttpd-%i")
                .replace("thttpd web server", "thttpd web server (%i)")
        })
        .collect();
    assert_eq!(instance, as_instance);
}

#[test]
fn the_sandbox_keeps_every_wall_it_was_built_with() {
    let service = settings("packaging/systemd/thttpd.service");
    for wall in [
        "NoNewPrivileges=yes",
        "ProtectSystem=strict",
        "PrivateDevices=yes",
        "PrivateTmp=yes",
        "ProtectKernelTunables=yes",
        "RestrictNamespaces=yes",
        "MemoryDenyWriteExecute=yes",
        "SystemCallArchitectures=native",
    ] {
        assert!(service.iter().any(|line| line == wall), "{wall}");
    }
}

#[test]
fn a_reload_checks_the_configuration_and_may_send_its_signal() {
    for path in ["packaging/systemd/thttpd.service", "packaging/systemd/thttpd@.service"] {
        let settings = settings(path);
        let start = settings.iter().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
        let reload: Vec<&str> = settings.iter().filter_map(|line| line.strip_prefix("ExecReload=")).collect();
        // Outside the sandbox: root within it has no CAP_KILL, and the server is another user.
        assert_eq!(reload, [format!("{start} --check").as_str(), "+/bin/kill -HUP $MAINPID"], "{path}");
    }
}

#[test]
fn new_installations_read_their_configuration_again_on_a_reload() {
    for path in ["packaging/deb/thttpd.conf", "packaging/rpm/thttpd.conf"] {
        assert!(settings(path).iter().any(|line| line == "reload_on_hup"), "{path}");
    }
}

/// The logs of all instances, and a HUP for each.
#[test]
fn the_logs_of_instances_are_rotated() {
    for path in ["packaging/deb/debian/thttpd.logrotate", "packaging/rpm/thttpd.logrotate"] {
        let text = text(path);
        for part in ["/var/log/thttpd-*.log", "/var/log/thttpd/*.log", "--signal=HUP 'thttpd@*.service'"] {
            assert!(text.contains(part), "{path}: {part}");
        }
        // `create` without an owner: the new file is as the old one was.
        assert!(settings(path).iter().any(|line| line.trim() == "create"), "{path}");
    }
}

/// Sourced by one script that starts another, it must not change what cargo sees: that compiles anew.
#[test]
fn flags_of_reproducible_builds_are_added_once() {
    let path = source("packaging/reproducible.sh");
    let script = ". \"$0\"; once=$RUSTFLAGS; . \"$0\"; [ \"$once\" = \"$RUSTFLAGS\" ] && echo \"$once\"";
    let output =
        Command::new("bash").args(["-c", script]).arg(path).env("RUSTFLAGS", "-Cdebuginfo=0").output();
    let output = output.unwrap();
    let flags = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && flags.contains("=/src/thttpd"), "{flags}");
    assert!(flags.starts_with("-Cdebuginfo=0 "), "{flags}");
}
