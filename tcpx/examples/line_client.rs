//! A client of a line protocol, and its tests against a TCP that misbehaves: `cargo
//! test -p tcpx --example line_client`. Nothing in the client knows of tcpx; nothing in the tests
//! takes time, or needs a privilege.

use std::io::{self, ErrorKind};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks one question a line, and gets one line as the answer.
struct Client<S> {
    stream: BufReader<S>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    fn new(stream: S) -> Client<S> {
        Client {
            stream: BufReader::new(stream),
        }
    }

    /// # Errors
    /// `TimedOut` after [`PATIENCE`], `UnexpectedEof` when the peer left in the middle of a line,
    /// and what the stream says.
    async fn ask(&mut self, question: &str) -> io::Result<String> {
        let mut answer = String::new();
        let exchange = async {
            self.stream
                .write_all(format!("{question}\n").as_bytes())
                .await?;
            self.stream.read_line(&mut answer).await
        };
        timeout(PATIENCE, exchange)
            .await
            .map_err(|_| io::Error::new(ErrorKind::TimedOut, "no answer"))??;
        match answer.strip_suffix('\n') {
            Some(line) => Ok(line.to_owned()),
            None => Err(ErrorKind::UnexpectedEof.into()),
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(address), Some(question)) = (arguments.next(), arguments.next()) else {
        return Err(io::Error::other("usage: line_client ADDR:PORT QUESTION"));
    };
    let mut client = Client::new(TcpStream::connect(address).await?);
    println!("{}", client.ask(&question).await?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error;
    use tcpx::testing::{self, Pair, PairOptions};
    use tcpx_proto::event::What;
    use tcpx_proto::state::State;
    use tokio::io::{AsyncReadExt, split};

    type Outcome = Result<(), Box<dyn Error>>;

    /// The server: answers each line with itself.
    async fn echo(stream: tcpx::Stream) -> io::Result<u64> {
        let (mut reader, mut writer) = split(stream);
        tokio::io::copy(&mut reader, &mut writer).await
    }

    #[tokio::test(start_paused = true)]
    async fn peer_that_goes_silent_is_given_up_in_time() -> Outcome {
        let Pair {
            near, far, network, ..
        } = testing::pair(PairOptions::default()).await?;
        let mut client = Client::new(near);
        far.host().vanish();
        let asked = network.elapsed();
        assert_eq!(
            client.ask("anybody there?").await.unwrap_err().kind(),
            ErrorKind::TimedOut
        );
        assert_eq!(network.elapsed() - asked, PATIENCE);
        Ok(())
    }

    #[tokio::test(start_paused = true)]
    async fn one_answer_in_ten_is_three_seconds_late_and_all_come() -> Outcome {
        let Pair {
            near,
            far,
            network,
            far_diary,
            ..
        } = testing::pair(PairOptions::default()).await?;
        far.host().add_fault("rate=10% delay=3s out data".parse()?);
        tokio::spawn(echo(far));
        let mut client = Client::new(near);
        for question in 0..100 {
            assert_eq!(
                client.ask(&question.to_string()).await?,
                question.to_string()
            );
        }
        // TCP does not wait for a segment that is late: it sends again, and the answer takes a
        // retransmission timeout instead of 3 s.
        assert!(network.elapsed() < Duration::from_secs(30), "{far_diary}");
        assert!(
            far_diary.count(|entry| entry
                .segment()
                .is_some_and(|segment| segment.retransmission > 0))
                > 0
        );
        Ok(())
    }

    #[tokio::test(start_paused = true)]
    async fn peer_that_resets_in_the_middle_of_an_answer_is_an_error() -> Outcome {
        let Pair {
            near,
            mut far,
            near_diary,
            ..
        } = testing::pair(PairOptions::default()).await?;
        let server = async move {
            far.read_u8().await?;
            far.write_all(b"I was about to s").await?;
            // The client's TCP has half the answer: an event that can be awaited.
            near_diary
                .until(|entry| {
                    entry
                        .event()
                        .is_some_and(|event| matches!(event.what, What::Accepted { text: 16, .. }))
                })
                .await;
            far.abort();
            io::Result::Ok(())
        };
        let mut client = Client::new(near);
        let (answer, served) = tokio::join!(client.ask("well?"), server);
        served?;
        assert_eq!(answer.unwrap_err().kind(), ErrorKind::ConnectionReset);
        Ok(())
    }

    #[tokio::test(start_paused = true)]
    async fn peer_that_closes_in_the_middle_of_an_answer_is_an_error_and_we_are_in_close_wait()
    -> Outcome {
        let Pair { near, mut far, .. } = testing::pair(PairOptions::default()).await?;
        far.write_all(b"bye").await?;
        far.shutdown().await?;
        let mut client = Client::new(near);
        assert_eq!(
            client.ask("well?").await.unwrap_err().kind(),
            ErrorKind::UnexpectedEof
        );
        // A program that keeps the client keeps the connection: the leak that `ss` shows as CLOSE-WAIT.
        assert_eq!(client.stream.get_ref().state(), State::CloseWait);
        Ok(())
    }
}
