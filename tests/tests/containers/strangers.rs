//! Programs that know nothing of tcpx, on their own kernel's TCP: curl and nginx.

use crate::engine::{DEBIAN, Lan, NET_RAW_ALONE, TCPX};
use crate::harness::await_socket;

#[test]
fn curl_reads_what_our_server_says() {
    let lan = Lan::new();
    let page = "HTTP/1.0 200 OK\r\n\r\nby hand";
    let server = lan.tcpx_server(
        NET_RAW_ALONE,
        TCPX,
        &["--respond", page, "--rst-guard", "listener"],
    );
    let capture = lan.capture(&server);
    let curl = lan.start(
        lan.a,
        &[],
        DEBIAN,
        &[
            "curl",
            "--silent",
            "--show-error",
            &format!("http://{}/", lan.server()),
        ],
    );
    assert_eq!(curl.program.succeed(), "by hand");
    let seen = capture.finish();
    seen.assert_sound(lan.b);
    assert!(!seen.story(lan.a).contains('R'), "{}", seen.story(lan.a));
}

#[test]
fn our_client_reads_what_nginx_says() {
    let lan = Lan::new();
    let configuration =
        "events {} http { access_log off; server { listen 7000; return 200 'by nginx'; } }";
    let serve = "echo \"$0\" >/tmp/nginx.conf; exec nginx -c /tmp/nginx.conf -g 'daemon off;'";
    let nginx = lan.start(lan.b, &[], DEBIAN, &["sh", "-c", serve, configuration]);
    await_socket(&nginx.host(), "LISTEN", "sport = 7000");
    let capture = lan.capture(&nginx);
    let flags = [
        "--send",
        "GET / HTTP/1.0\r\n\r\n",
        "--msl",
        "50ms",
        "--rst-guard",
        "listener",
    ];
    let answer = lan
        .tcpx_client(NET_RAW_ALONE, TCPX, &flags)
        .program
        .succeed();
    assert!(
        answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("by nginx"),
        "{answer}"
    );
    let seen = capture.finish();
    seen.assert_sound(lan.a);
    assert!(!seen.story(lan.a).contains('R'), "{}", seen.story(lan.a));
}
