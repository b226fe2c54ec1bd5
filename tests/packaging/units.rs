//! The systemd units.

use super::text;

/// The lines of a unit file that say something.
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
