//! rtnetlink in the calling thread's namespace.

use rtnetlink::Handle;
use std::io;

/// Talks rtnetlink in the calling thread's namespace.
pub fn configure<T>(
    talk: impl AsyncFnOnce(Handle) -> Result<T, rtnetlink::Error>,
) -> io::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    runtime.block_on(async {
        let (connection, handle, _) = rtnetlink::new_connection()?;
        let connection = tokio::spawn(connection);
        let answer = talk(handle).await.map_err(plain_error);
        connection.abort();
        answer
    })
}

/// The kernel's own error number where there is one.
fn plain_error(error: rtnetlink::Error) -> io::Error {
    match error {
        rtnetlink::Error::NetlinkError(message) => message.to_io(),
        other => io::Error::other(other),
    }
}
