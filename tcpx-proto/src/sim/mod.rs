//! Hosts and links on one virtual clock: whole TCPs talk to each other in no time, and every run
//! can be repeated.
//!
//! A run is its seeds, its configuration and its calls, and nothing else: done again, it leaves the
//! same trace, octet by octet. The crate's page begins with one.
//!
//! An application is a [`Script`] (`docs/scripts.md` has the language), or whoever makes
//! [`call`](Sim::call)s. A [`Sim`] is cloned to try what would have happened otherwise.

mod app;
mod host;
mod link;

pub use link::{Link, Net, Passage};

use crate::config::{Config, ConnConfig};
use crate::error::{CallError, CloseReason};
use crate::event::{Event, SegmentRecord};
use crate::fault::{FaultRule, Judgement};
use crate::id::{ConnId, FourTuple, ListenerId};
use crate::script::{Addresses, AppEvent, Script, StepError};
use crate::stack::Stack;
use crate::time::{Duration, Instant};
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use host::{Conn, Host};

/// Names a host of one simulation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct HostId(usize);

/// One thing that was seen. Their order is that in which they happened.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Observation {
    /// A host's engine noted something.
    Event {
        /// The host.
        host: HostId,
        /// What it noted.
        event: Event,
    },
    /// A segment that passes the gate of a host, or is dropped there. One that the gate keeps is
    /// seen when the gate lets it go.
    Segment {
        /// The host.
        host: HostId,
        /// The segment as it goes on, if it goes on.
        record: SegmentRecord,
        /// What the gate did to it.
        judgement: Judgement,
        /// The IP packet.
        packet: Vec<u8>,
        /// Of a segment that came off a link: the index of the observation with which it departed
        /// at the other end.
        departed: Option<usize>,
    },
    /// An application of a host did something.
    AppEvent {
        /// The host.
        host: HostId,
        /// What it did.
        deed: AppEvent,
    },
    /// A link lost a segment, or nobody has its destination address.
    Lost {
        /// When.
        at: Instant,
        /// The index of the observation with which it departed.
        departed: usize,
    },
}

/// Hosts, the links between them, and a clock that jumps from one thing that happens to the next.
#[derive(Clone)]
pub struct Sim {
    now: Instant,
    hosts: Vec<Host>,
    addresses: BTreeMap<IpAddr, HostId>,
    net: Net,
    trace: Vec<Observation>,
}

impl core::fmt::Debug for Sim {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Sim")
            .field("now", &self.now)
            .field("hosts", &self.hosts.len())
            .field("trace", &self.trace.len())
            .finish_non_exhaustive()
    }
}

impl Sim {
    /// No hosts yet; it is [`Instant::ZERO`]. What goes wrong on links is drawn from `seed`.
    pub fn new(seed: u64) -> Sim {
        Sim {
            now: Instant::ZERO,
            hosts: Vec::new(),
            addresses: BTreeMap::new(),
            net: Net::new(seed),
            trace: Vec::new(),
        }
    }

    /// Adds a host with all ports of this address, IPv4 or IPv6; `rules` are those of its gate, the
    /// first match wins. Its stack and its gate draw from `seed`.
    pub fn add_host(
        &mut self,
        address: IpAddr,
        config: Config,
        seed: u64,
        rules: Vec<FaultRule>,
    ) -> HostId {
        let id = HostId(self.hosts.len());
        self.addresses.insert(address, id);
        self.hosts.push(Host::new(id, address, config, seed, rules));
        id
    }

    /// What the way from one host to another is like from now on; before that, [`Link::default`].
    pub fn link(&mut self, from: HostId, to: HostId, link: Link) {
        self.net.set(from, to, link);
    }

    /// Now.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// A host's TCP.
    pub fn stack(&self, host: HostId) -> Option<&Stack> {
        self.host(host).map(|host| &host.stack)
    }

    /// All that was seen so far.
    pub fn trace(&self) -> &[Observation] {
        &self.trace
    }

    /// The segments that passed the gate of a host, or were dropped there, both ways, in order.
    pub fn segments(&self, host: HostId) -> impl Iterator<Item = &SegmentRecord> {
        self.trace.iter().filter_map(move |seen| match seen {
            Observation::Segment {
                host: at, record, ..
            } if *at == host => Some(record),
            _ => None,
        })
    }

    /// What a host's engine noted, in order.
    pub fn events(&self, host: HostId) -> impl Iterator<Item = &Event> {
        self.trace.iter().filter_map(move |seen| match seen {
            Observation::Event { host: at, event } if *at == host => Some(event),
            _ => None,
        })
    }

    /// Every connection that a host ever had, in the order in which they were opened.
    pub fn connections(&self, host: HostId) -> impl Iterator<Item = ConnId> {
        self.host(host)
            .into_iter()
            .flat_map(|host| host.conns.iter().map(|conn| conn.id))
    }

    /// How a connection ended, once it has.
    pub fn closed(&self, host: HostId, conn: ConnId) -> Option<CloseReason> {
        self.conn(host, conn)?.closed
    }

    /// All that the application of a connection received.
    pub fn received(&self, host: HostId, conn: ConnId) -> &[u8] {
        self.conn(host, conn).map_or(&[], |conn| &conn.received)
    }

    /// The error at which a connection's script ended early.
    pub fn failed(&self, host: HostId, conn: ConnId) -> Option<&StepError> {
        self.host(host)?.failed(conn)
    }

    /// Every script on every host came to its end.
    pub fn is_over(&self) -> bool {
        self.hosts.iter().all(Host::is_over)
    }

    /// Passive OPEN. Each connection is accepted as soon as it can be, and runs `script`.
    ///
    /// # Errors
    /// Those of [`Stack::listen`]; `NoConnection`: there is no such host.
    pub fn listen(
        &mut self,
        host: HostId,
        port: u16,
        backlog: usize,
        config: &ConnConfig,
        script: Script,
    ) -> Result<ListenerId, CallError> {
        let now = self.now;
        let host = self.hosts.get_mut(host.0).ok_or(CallError::NoConnection)?;
        let listener =
            host.stack
                .listen(now, SocketAddr::new(host.address, port), backlog, config)?;
        host.serve(listener, script);
        Ok(listener)
    }

    /// Active OPEN, from a port at random if `port` is 0.
    ///
    /// # Errors
    /// Those of [`Stack::connect`]; `NoConnection`: there is no such host.
    pub fn connect(
        &mut self,
        host: HostId,
        port: u16,
        remote: SocketAddr,
        config: &ConnConfig,
    ) -> Result<ConnId, CallError> {
        let address = self.host(host).ok_or(CallError::NoConnection)?.address;
        self.call(host, |stack, now| {
            stack.connect(
                now,
                FourTuple {
                    local: SocketAddr::new(address, port),
                    remote,
                },
                config,
            )
        })?
    }

    /// Runs `script` on a connection, from when it is established. The input of an application here
    /// is empty: [`Step::SendInput`](crate::script::Step::SendInput) sends nothing, and
    /// [`Step::Relay`](crate::script::Step::Relay) sends the FIN at once.
    pub fn spawn(&mut self, host: HostId, conn: ConnId, script: Script) {
        if let Some(host) = self.hosts.get_mut(host.0) {
            host.spawn(conn, Arc::new(script));
        }
        self.settle(host);
    }

    /// Runs `script` on a host, from its first step: it opens its connections itself.
    pub fn play(&mut self, host: HostId, script: Script, addresses: Addresses) {
        if let Some(host) = self.hosts.get_mut(host.0) {
            host.play(Arc::new(script), addresses);
        }
        self.settle(host);
    }

    /// A packet that nobody sent arrives at a host: a segment, or an ICMP error about one.
    pub fn inject(&mut self, host: HostId, packet: Vec<u8>) {
        if let Some(host) = self.hosts.get_mut(host.0) {
            host.arrives(self.now, packet, None, &mut self.trace);
        }
        self.settle(host);
    }

    /// Any other call, with the time to make it at.
    ///
    /// # Errors
    /// `NoConnection`: there is no such host.
    pub fn call<R>(
        &mut self,
        host: HostId,
        call: impl FnOnce(&mut Stack, Instant) -> R,
    ) -> Result<R, CallError> {
        let now = self.now;
        let result = self
            .hosts
            .get_mut(host.0)
            .map(|host| call(&mut host.stack, now))
            .ok_or(CallError::NoConnection);
        self.settle(host);
        result
    }

    /// When something happens next by itself; `None`: never.
    pub fn deadline(&self) -> Option<Instant> {
        self.hosts
            .iter()
            .map(Host::deadline)
            .chain([self.net.deadline()])
            .flatten()
            .min()
    }

    /// Lets the next thing happen; `false`: nothing will.
    pub fn step(&mut self) -> bool {
        let Some(at) = self.deadline() else {
            return false;
        };
        self.now = self.now.max(at);
        if let Some(Passage {
            to,
            departed,
            packet,
        }) = self.net.arrive(self.now)
        {
            if let Some(host) = self.hosts.get_mut(to.0) {
                host.arrives(self.now, packet, Some(departed), &mut self.trace);
            }
            self.settle(to);
        } else if let Some(host) = self
            .hosts
            .iter_mut()
            .find(|host| host.deadline() == Some(at))
        {
            host.timeout(self.now);
            let id = host.id;
            self.settle(id);
        }
        true
    }

    /// Lets things happen until `done` says so (`true`), or until `limit` from now (`false`). The
    /// clock then stands at the limit.
    pub fn run_until(&mut self, mut done: impl FnMut(&Sim) -> bool, limit: Duration) -> bool {
        let end = self.now + limit;
        while !done(self) {
            if self.deadline().is_none_or(|at| at > end) {
                self.now = end;
                return done(self);
            }
            self.step();
        }
        true
    }

    /// Hands what a host sends to the links, until it is quiet.
    fn settle(&mut self, id: HostId) {
        let Some(host) = self.hosts.get_mut(id.0) else {
            return;
        };
        while let Some(outgoing) = host.poll(self.now, &mut self.trace) {
            let departed = outgoing.departed;
            let to = self.addresses.get(&outgoing.destination);
            let arrives = to.is_some_and(|to| {
                self.net.depart(
                    self.now,
                    id,
                    Passage {
                        to: *to,
                        departed,
                        packet: outgoing.packet,
                    },
                )
            });
            if !arrives {
                self.trace.push(Observation::Lost {
                    at: self.now,
                    departed,
                });
            }
        }
    }

    fn host(&self, id: HostId) -> Option<&Host> {
        self.hosts.get(id.0)
    }

    fn conn(&self, host: HostId, conn: ConnId) -> Option<&Conn> {
        self.host(host)?.conn(conn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Isn;
    use crate::event::What;
    use crate::script::Step;
    use crate::seq::Seq;
    use crate::state::State;
    use crate::wire::{Flags, IcmpKind, icmp_error};
    use alloc::string::{String, ToString};
    use alloc::vec;
    use core::net::Ipv4Addr;

    const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
    const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));
    const DELAY: Duration = Duration::from_millis(10);
    const MINUTES: Duration = Duration::from_secs(300);

    fn server() -> SocketAddr {
        SocketAddr::new(SERVER, 7000)
    }

    fn pair() -> (Sim, HostId, HostId) {
        let mut sim = Sim::new(1);
        let client = sim.add_host(CLIENT, Config::default(), 2, Vec::new());
        let server = sim.add_host(SERVER, Config::default(), 3, Vec::new());
        sim.link(client, server, Link::new(DELAY));
        sim.link(server, client, Link::new(DELAY * 2));
        (sim, client, server)
    }

    /// A connection between two scripts, up to the end of `limit`; its name at either end.
    fn run(client: Vec<Step>, server: Vec<Step>, limit: Duration) -> (Sim, [(HostId, ConnId); 2]) {
        let (mut sim, a, b) = pair();
        let config = ConnConfig::default();
        sim.listen(b, 7000, 1, &config, Script { steps: server })
            .unwrap();
        let conn = sim.connect(a, 0, self::server(), &config).unwrap();
        sim.spawn(a, conn, Script { steps: client });
        sim.run_until(|_| false, limit);
        let accepted = sim.connections(b).next().unwrap();
        (sim, [(a, conn), (b, accepted)])
    }

    fn state(sim: &Sim, (host, conn): (HostId, ConnId)) -> Option<State> {
        sim.stack(host)?.status(conn).map(|status| status.state)
    }

    /// When, at which host, which way, which flags.
    fn segments(sim: &Sim) -> Vec<(u64, usize, bool, String)> {
        let of = |seen: &Observation| match seen {
            Observation::Segment { host, record, .. } => Some((
                record.at.millis(),
                host.0,
                record.out,
                record.flags.to_string(),
            )),
            _ => None,
        };
        sim.trace().iter().filter_map(of).collect()
    }

    #[test]
    fn handshake_takes_the_time_of_the_links() {
        let (mut sim, a, b) = pair();
        sim.listen(b, 7000, 1, &ConnConfig::default(), Script::default())
            .unwrap();
        let conn = sim.connect(a, 0, server(), &ConnConfig::default()).unwrap();
        let accepted = |sim: &Sim| {
            sim.connections(b)
                .any(|id| state(sim, (b, id)) == Some(State::Established))
        };
        assert!(sim.run_until(accepted, MINUTES));
        assert_eq!(sim.now().millis(), 40);
        assert_eq!(state(&sim, (a, conn)), Some(State::Established));
        let expected = [
            (0, 0, true, "S"),
            (10, 1, false, "S"),
            (10, 1, true, "SA"),
            (30, 0, false, "SA"),
            (30, 0, true, "A"),
            (40, 1, false, "A"),
        ];
        assert_eq!(
            segments(&sim),
            expected.map(|(at, host, out, flags)| (at, host, out, flags.to_string()))
        );
    }

    #[test]
    fn segment_that_arrives_names_the_one_that_departed() {
        let (sim, _) = run(
            vec![Step::Send(b"hello".to_vec()), Step::Close],
            vec![Step::ReceiveToEnd, Step::Close],
            MINUTES,
        );
        let mut arrivals = 0;
        for seen in sim.trace() {
            let Observation::Segment {
                host,
                record,
                departed: Some(departed),
                ..
            } = seen
            else {
                continue;
            };
            let Some(Observation::Segment {
                host: from,
                record: sent,
                departed: None,
                ..
            }) = sim.trace().get(*departed)
            else {
                panic!()
            };
            assert!(sent.out && !record.out && from != host);
            assert_eq!(
                (sent.id, sent.seq, sent.flags),
                (record.id, record.seq, record.flags)
            );
            let link = if from.0 == 0 { DELAY } else { DELAY * 2 };
            assert_eq!(record.at.since(sent.at), link);
            arrivals += 1;
        }
        assert!(arrivals >= 7, "{arrivals}");
    }

    #[test]
    fn echo_comes_back_and_both_close() {
        let (says, hears) = (Step::Send(b"hello".to_vec()), Step::Receive(5));
        let client = vec![says.clone(), hears.clone(), says, hears, Step::Close];
        let (sim, ends) = run(client, vec![Step::Echo, Step::Close], MINUTES);
        for (host, conn) in ends {
            assert_eq!(sim.received(host, conn), b"hellohello");
            assert_eq!(
                (sim.closed(host, conn), sim.failed(host, conn)),
                (Some(CloseReason::Clean), None)
            );
            assert_eq!(
                state(&sim, (host, conn)),
                None,
                "the stack has forgotten it"
            );
        }
    }

    #[test]
    fn receive_takes_no_more_than_it_asks_for_and_sleep_no_less_time() {
        let sleep = Step::Sleep(Duration::from_secs(5));
        let (sim, [client, _]) = run(
            vec![Step::Receive(3), sleep, Step::Abort],
            vec![Step::Send(b"hello".to_vec())],
            MINUTES,
        );
        assert_eq!(sim.received(client.0, client.1), b"hel");
        let reset = segments(&sim)
            .into_iter()
            .find(|(_, _, out, flags)| *out && flags.contains('R'));
        // SYN 10 ms, SYN,ACK 20 ms, ACK 10 ms, text 20 ms, and then the sleep.
        assert_eq!(reset.map(|(at, host, ..)| (at, host)), Some((5060, 0)));
    }

    #[test]
    fn stall_lasts_and_a_peer_that_vanishes_says_nothing() {
        let client = vec![
            Step::Sleep(Duration::from_secs(1)),
            Step::GoSilent,
            Step::Send(b"lost".to_vec()),
            Step::Close,
        ];
        let (sim, [client, server]) =
            run(client, vec![Step::StopReading, Step::Close], MINUTES * 10);
        assert_eq!(state(&sim, server), Some(State::Established));
        assert_eq!(sim.received(server.0, server.1), b"");
        assert_eq!(segments(&sim).len(), 6, "the handshake and nothing else");
        assert_eq!(
            sim.closed(client.0, client.1),
            Some(CloseReason::RetransmissionTimeout)
        );
    }

    #[test]
    fn connect_without_listener_is_refused_and_the_script_does_not_go_on() {
        let (mut sim, a, _) = pair();
        let conn = sim.connect(a, 0, server(), &ConnConfig::default()).unwrap();
        sim.spawn(
            a,
            conn,
            Script {
                steps: vec![Step::Send(b"hello".to_vec()), Step::Close],
            },
        );
        assert!(sim.run_until(|sim| sim.closed(a, conn).is_some(), MINUTES));
        assert_eq!(
            sim.failed(a, conn),
            Some(&StepError::Call(CallError::Ended(CloseReason::Refused)))
        );
    }

    #[test]
    fn connect_to_nobody_is_lost_and_times_out() {
        let (mut sim, a, _) = pair();
        let conn = sim
            .connect(
                a,
                0,
                "10.0.0.9:7000".parse().unwrap(),
                &ConnConfig::default(),
            )
            .unwrap();
        assert!(sim.run_until(
            |sim| sim.closed(a, conn) == Some(CloseReason::ConnectTimeout),
            MINUTES
        ));
        let lost = sim
            .trace()
            .iter()
            .filter(|seen| matches!(seen, Observation::Lost { .. }))
            .count();
        assert_eq!(lost, 1 + ConnConfig::default().syn_retries as usize);
    }

    #[test]
    fn icmp_error_injected_reaches_the_tcp_and_is_no_segment() {
        let (mut sim, a, _) = pair();
        let config = ConnConfig {
            isn: Isn::Fixed(Seq(100)),
            ..ConnConfig::default()
        };
        let conn = sim
            .connect(a, 40_000, "10.0.0.9:7000".parse().unwrap(), &config)
            .unwrap();
        let syn = sim.trace().iter().find_map(|seen| match seen {
            Observation::Segment { packet, .. } => Some(packet.clone()),
            _ => None,
        });
        let (router, local) = (Ipv4Addr::new(10, 0, 0, 66), Ipv4Addr::new(10, 0, 0, 1));
        let before = segments(&sim).len();
        sim.inject(a, icmp_error(router, local, [3, 1], 0, &syn.unwrap()));
        assert_eq!(
            sim.closed(a, conn),
            Some(CloseReason::Unreachable(IcmpKind::Unreachable(1)))
        );
        assert_eq!(segments(&sim).len(), before);
    }

    #[test]
    fn syn_of_the_next_incarnation_is_noted_as_that_of_the_connection_that_it_opens() {
        let (mut sim, a, b) = pair();
        sim.listen(
            b,
            7000,
            1,
            &ConnConfig::default(),
            Script {
                steps: vec![Step::Close],
            },
        )
        .unwrap();
        for _ in 0..2 {
            let conn = sim
                .connect(a, 40_000, server(), &ConnConfig::default())
                .unwrap();
            sim.spawn(
                a,
                conn,
                Script {
                    steps: vec![Step::ReceiveToEnd, Step::Close],
                },
            );
            assert!(sim.run_until(|sim| sim.closed(a, conn).is_some(), MINUTES));
        }
        let syns = sim.trace().iter().filter_map(|seen| match seen {
            Observation::Segment { host, record, .. }
                if *host == b && record.flags == Flags::SYN =>
            {
                record.conn
            }
            _ => None,
        });
        assert_eq!(
            syns.collect::<Vec<_>>(),
            sim.connections(b).collect::<Vec<_>>()
        );
    }

    #[test]
    fn run_until_stops_the_clock_at_its_limit() {
        let (mut sim, a, _) = pair();
        sim.connect(a, 0, server(), &ConnConfig::default()).unwrap();
        assert!(!sim.run_until(|_| false, Duration::from_millis(5)));
        assert_eq!((sim.now().millis(), sim.trace().len()), (5, 4));
        assert!(!sim.run_until(|_| false, MINUTES));
        assert_eq!(
            sim.now(),
            Instant::ZERO + Duration::from_millis(5) + MINUTES
        );
        assert!(!sim.step(), "nothing is left to happen");
    }

    #[test]
    fn call_is_followed_by_what_it_sends() {
        let (mut sim, [(a, conn), _]) = run(Vec::new(), vec![Step::ReceiveToEnd], MINUTES);
        let before = sim.trace().len();
        sim.call(a, |stack, now| stack.send(now, conn, b"hello"))
            .unwrap()
            .unwrap();
        let sent = |seen: &Observation| matches!(seen, Observation::Segment { record, .. } if record.out && record.len == 5);
        assert!(sim.trace().get(before..).unwrap().iter().any(sent));
    }

    #[test]
    fn events_come_in_the_order_of_time() {
        let (sim, _) = run(
            vec![Step::Send(vec![7; 100_000]), Step::Close],
            vec![Step::ReceiveToEnd, Step::Close],
            MINUTES,
        );
        let at = |seen: &Observation| match seen {
            Observation::Event { event, .. } => event.at,
            Observation::Segment { record, .. } => record.at,
            Observation::AppEvent { deed, .. } => deed.at,
            Observation::Lost { at, .. } => *at,
        };
        assert!(sim.trace().iter().map(at).is_sorted());
        assert!(sim.trace().iter().any(|seen| matches!(seen, Observation::Event { event, .. } if matches!(event.what, What::Closed(_)))));
    }
}
