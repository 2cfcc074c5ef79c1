//! Two engines in memory, for benches and for counting allocations: each packet goes from one
//! buffer straight to the other side.

use std::time::Duration;

use tcpx_proto::config::{ConnConfig, Profile};
use tcpx_proto::id::{ConnId, FourTuple, ListenerId};
use tcpx_proto::stack::{Most, Stack};
use tcpx_proto::time::Instant;

/// A client and a server without a network between them.
#[derive(Debug)]
pub struct Pair {
    /// Opens connections.
    pub client: Stack,
    /// Accepts them.
    pub server: Stack,
    /// The time of both.
    pub now: Instant,
    listener: ListenerId,
    packet: Vec<u8>,
    /// Packets carried so far.
    pub packets: u64,
}

const CLIENT: ([u8; 4], u16) = ([10, 0, 0, 1], 0);
const SERVER: ([u8; 4], u16) = ([10, 0, 0, 2], 7000);

/// Connections with buffers of 256 KiB.
pub fn large_buffers() -> ConnConfig {
    ConnConfig {
        receive_buffer: 1 << 18,
        send_buffer: 1 << 18,
        ..ConnConfig::default()
    }
}

impl Pair {
    /// A pair with this configuration of connections on both sides.
    ///
    /// # Errors
    /// What the engine answers to `listen`.
    pub fn new(conn: &ConnConfig) -> anyhow::Result<Pair> {
        let config = Profile::Linux.config();
        let mut client = Stack::new(config.clone(), 1);
        let mut server = Stack::new(config, 2);
        for stack in [&mut client, &mut server] {
            stack.sum_by(tcpx::checksum::fastest());
        }
        client.reserve(CLIENT.0.into(), 10_000..=60_000);
        server.reserve(SERVER.0.into(), 7000..=7000);
        let listener = server.listen(Instant::ZERO, SERVER.into(), 128, conn)?;
        Ok(Pair {
            client,
            server,
            now: Instant::ZERO,
            listener,
            packet: vec![0; 65_536],
            packets: 0,
        })
    }

    /// Carries packets both ways until neither side has any.
    pub fn exchange(&mut self) {
        loop {
            let before = self.packets;
            carry(
                &mut self.client,
                &mut self.server,
                self.now,
                &mut self.packet,
                &mut self.packets,
            );
            carry(
                &mut self.server,
                &mut self.client,
                self.now,
                &mut self.packet,
                &mut self.packets,
            );
            if before == self.packets {
                return;
            }
        }
    }

    /// A connection, established on both sides.
    ///
    /// # Errors
    /// What the engine answers to `connect` and `accept`.
    pub fn connect(&mut self, conn: &ConnConfig) -> anyhow::Result<(ConnId, ConnId)> {
        let id = self.client.connect(
            self.now,
            FourTuple {
                local: CLIENT.into(),
                remote: SERVER.into(),
            },
            conn,
        )?;
        self.exchange();
        Ok((id, self.server.accept(self.now, self.listener)?))
    }

    /// Sends `bytes` from client to server in writes and reads of `chunk`.
    ///
    /// # Errors
    /// An ended connection.
    pub fn bulk(
        &mut self,
        from: ConnId,
        to: ConnId,
        octets: usize,
        chunk: &mut [u8],
    ) -> anyhow::Result<()> {
        let mut sent = 0;
        let mut received = 0;
        while received < octets {
            while sent < octets {
                let take = chunk.len().min(octets - sent);
                let Ok(taken) = self.client.send(self.now, from, &chunk[..take]) else {
                    break;
                };
                sent += taken;
            }
            self.exchange();
            while let Ok(got) = self.server.receive(self.now, to, chunk) {
                anyhow::ensure!(got > 0, "the end came early");
                received += got;
            }
            self.exchange();
            self.advance(Duration::from_micros(50));
        }
        Ok(())
    }

    /// A connection from its start to its end, without TIME-WAIT.
    ///
    /// # Errors
    /// What the engine answers.
    pub fn connect_and_close(&mut self, conn: &ConnConfig) -> anyhow::Result<()> {
        let (client, server) = self.connect(conn)?;
        self.client.shutdown(self.now, client)?;
        self.exchange();
        self.server.close(self.now, server)?;
        self.exchange();
        // What is measured is the work, not TIME-WAIT.
        self.client.abort(self.now, client)?;
        self.advance(Duration::from_micros(50));
        Ok(())
    }

    /// Lets time pass and fires what is due.
    pub fn advance(&mut self, by: Duration) {
        self.now = self.now + by;
        for stack in [&mut self.client, &mut self.server] {
            if stack
                .deadline()
                .is_some_and(|deadline| deadline <= self.now)
            {
                stack.timeout(self.now);
            }
        }
        self.exchange();
    }
}

fn carry(from: &mut Stack, to: &mut Stack, now: Instant, packet: &mut [u8], packets: &mut u64) {
    let most = |_| Most::Packets(usize::MAX);
    while let Some((transmit, _)) = from.poll_burst(now, packet, most) {
        *packets += transmit.count as u64;
        for each in packet.chunks_exact(transmit.len).take(transmit.count) {
            to.packet_arrives(now, each);
        }
    }
    while from.poll_signal().is_some() {}
    while to.poll_signal().is_some() {}
}
