//! `docker stop` and its kind: the first process of a container ends as it does anywhere else.

use crate::engine::{DEBIAN, Lan, NET_RAW_ALONE, TCPX};
use std::io::{ErrorKind, Read};

#[test]
fn server_with_a_connection_term_resets_its_peer() {
    let lan = Lan::new();
    let mut server = lan.tcpx_server(NET_RAW_ALONE, TCPX, &[]);
    let peer = lan.start(lan.a, &[], DEBIAN, &["sleep", "infinity"]);
    let mut stream = peer.host().connect(lan.server());
    server.program.wait_for("-> ESTABLISHED");
    let ended = server.end_by("TERM");
    assert_eq!(ended.code, Some(143), "{}", ended.stderr);
    assert_eq!(
        stream.read(&mut [0]).unwrap_err().kind(),
        ErrorKind::ConnectionReset,
        "{}",
        ended.stderr
    );
}
