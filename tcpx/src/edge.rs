//! Stack, gate and observers of one host: what happens to a packet between the wire and the engine.
//! No I/O, no clock.

use crate::record::Observer;
use std::collections::HashMap;
use std::net::SocketAddr;
use tcpx_proto::event::{Event, SegmentRecord, What};
use tcpx_proto::fault::{Direction, FaultRule, Gate, Judgement, Verdict};
use tcpx_proto::id::{ConnId, FourTuple};
use tcpx_proto::label::Label;
use tcpx_proto::script::{AppAction, AppEvent};
use tcpx_proto::stack::Stack;
use tcpx_proto::state::State;
use tcpx_proto::time::Instant;
use tcpx_proto::wire::{ChecksumPolicy, Flags, Header, Segment};

/// A packet that is ready for the wire, in the buffer that the caller gave.
pub(crate) struct Outgoing {
    pub(crate) conn: Option<ConnId>,
    pub(crate) len: usize,
    pub(crate) destination: SocketAddr,
}

/// What an observer's record needs to know of a connection.
struct Known {
    local: SocketAddr,
    remote: SocketAddr,
    /// Window scale (RFC 7323) in our SYN, and in the peer's.
    shift: Option<u8>,
    peer_shift: Option<u8>,
}

impl Known {
    fn new(local: SocketAddr, remote: SocketAddr) -> Known {
        Known {
            local,
            remote,
            shift: None,
            peer_shift: None,
        }
    }
}

pub(crate) struct Edge {
    pub(crate) stack: Stack,
    gate: Gate,
    observers: Vec<Box<dyn Observer>>,
    /// Nothing goes out or comes in any more: a host that lost its power.
    silent: bool,
    /// Somebody records, or a rule waits for an event.
    watched: bool,
    /// The connections that live, for what is told about them.
    known: HashMap<ConnId, Known>,
    /// A copy of the packet that the gate looks at.
    scratch: Vec<u8>,
}

impl Edge {
    pub(crate) fn new(mut stack: Stack, gate: Gate, mut observers: Vec<Box<dyn Observer>>) -> Edge {
        let watched = !observers.is_empty() || !gate.rules().is_empty();
        for (index, rule) in gate.rules().iter().enumerate() {
            observers
                .iter_mut()
                .for_each(|observer| observer.rule(index, &rule.text));
        }
        stack.record(watched);
        Edge {
            stack,
            gate,
            observers,
            silent: false,
            watched,
            known: HashMap::new(),
            scratch: Vec::new(),
        }
    }

    /// From now on nothing passes, either way.
    pub(crate) fn vanish(&mut self) {
        self.silent = true;
    }

    /// One more rule for the gate, which from then on looks at every segment.
    pub(crate) fn add_rule(&mut self, rule: FaultRule) {
        let index = self.gate.rules().len();
        self.observers
            .iter_mut()
            .for_each(|observer| observer.rule(index, &rule.text));
        self.gate.add(rule);
        if !std::mem::replace(&mut self.watched, true) {
            self.stack.record(true);
            let known = |id| {
                self.stack
                    .status(id)
                    .map(|status| (id, Known::new(status.local, status.remote)))
            };
            self.known
                .extend(self.stack.connections().filter_map(known));
        }
    }

    /// Ends every rule of the gate, and lets go what they kept.
    pub(crate) fn release_all(&mut self) {
        self.gate.release_all();
    }

    /// Removes the fault rules of a preset and lets go what its hold-back keeps.
    pub(crate) fn release(&mut self, now: Instant, preset: &str) {
        self.gate.release(preset);
        for id in self.stack.connections().collect::<Vec<_>>() {
            // A connection that has ended has nothing held back.
            let _ = self.stack.release(now, id);
        }
    }

    /// A packet came from the wire.
    pub(crate) fn arrives(&mut self, now: Instant, packet: &[u8]) {
        if self.silent {
            return;
        }
        if !self.watched {
            return self.stack.packet_arrives(now, packet);
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        scratch.extend_from_slice(packet);
        let judgement = self.gate.offer(now, Direction::In, None, &mut scratch);
        if !kept(&judgement) {
            self.enters(now, &judgement, &scratch, judgement.goes_on());
        }
        self.scratch = scratch;
    }

    /// Tells of a packet that came in after the gate, hands it to the engine if it `goes_on`, and
    /// tells what that did.
    fn enters(&mut self, now: Instant, judgement: &Judgement, packet: &[u8], goes_on: bool) {
        let before = self.conn_of(packet);
        if goes_on {
            self.stack.packet_arrives(now, packet);
        }
        // A SYN belongs to the connection that it opens, a RST to the one that it ends.
        let conn = self.conn_of(packet).or(before);
        self.tell_segment(now, conn, None, judgement, packet);
        self.tell_events(now);
    }

    fn conn_of(&self, packet: &[u8]) -> Option<ConnId> {
        let segment = Segment::parse(packet, ChecksumPolicy::Ignore).ok()?;
        self.stack.lookup(FourTuple {
            local: segment.header.destination,
            remote: segment.header.source,
        })
    }

    /// An ICMP message came from the wire.
    pub(crate) fn icmp_arrives(&mut self, now: Instant, packet: &[u8]) {
        if !self.silent {
            self.stack.icmp_arrives(now, packet);
        }
    }

    /// Fires the engine's timers that are due.
    pub(crate) fn timeout(&mut self, now: Instant) {
        if self
            .stack
            .deadline()
            .is_some_and(|deadline| deadline <= now)
        {
            self.stack.timeout(now);
        }
    }

    /// The next packet for the wire, written into `into`.
    pub(crate) fn poll_transmit(&mut self, now: Instant, into: &mut [u8]) -> Option<Outgoing> {
        loop {
            if self.watched {
                self.tell_events(now);
                if let Some(outgoing) = self.poll_gate(now, into) {
                    return Some(outgoing);
                }
            }
            let Some(transmit) = self.stack.poll_transmit(now, into) else {
                self.tell_events(now);
                return None;
            };
            let outgoing = Outgoing {
                conn: transmit.conn,
                len: transmit.len,
                destination: transmit.destination,
            };
            if self.silent {
                continue;
            }
            let Some(packet) = into.get_mut(..transmit.len).filter(|_| self.watched) else {
                return Some(outgoing);
            };
            let judgement = self
                .gate
                .offer(now, Direction::Out, Some(transmit.label), packet);
            if !kept(&judgement) {
                self.tell_segment(now, transmit.conn, Some(transmit.label), &judgement, packet);
            }
            if judgement.goes_on() {
                return Some(outgoing);
            }
        }
    }

    /// What the gate kept and now lets go: inwards to the engine, outwards into `into`.
    fn poll_gate(&mut self, now: Instant, into: &mut [u8]) -> Option<Outgoing> {
        while let Some(released) = self.gate.poll(now) {
            if self.silent {
                continue;
            }
            if released.direction == Direction::In {
                self.enters(now, &released.judgement, &released.packet, true);
                continue;
            }
            let Ok(segment) = Segment::parse(&released.packet, ChecksumPolicy::Ignore) else {
                continue;
            };
            let Some(place) = into.get_mut(..released.packet.len()) else {
                continue;
            };
            place.copy_from_slice(&released.packet);
            let conn = self.stack.lookup(FourTuple {
                local: segment.header.source,
                remote: segment.header.destination,
            });
            self.tell_segment(
                now,
                conn,
                released.label,
                &released.judgement,
                &released.packet,
            );
            return Some(Outgoing {
                conn,
                len: released.packet.len(),
                destination: segment.header.destination,
            });
        }
        None
    }

    /// A connection's state; CLOSED once it is forgotten.
    pub(crate) fn state(&self, id: ConnId) -> State {
        self.stack
            .status(id)
            .map_or(State::Closed, |status| status.state)
    }

    /// An application did something.
    pub(crate) fn tell_deed(&mut self, at: Instant, conn: Option<ConnId>, did: AppAction) {
        self.tell_events(at);
        let deed = AppEvent { at, conn, did };
        for observer in &mut self.observers {
            observer.deed(&deed);
        }
    }

    /// When something is due next.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        [self.stack.deadline(), self.gate.deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    /// The host is about to sleep.
    pub(crate) fn flush(&mut self) {
        for observer in &mut self.observers {
            observer.flush();
        }
    }

    /// Hands on what the engine noted.
    fn tell_events(&mut self, now: Instant) {
        while let Some(event) = self.stack.poll_event() {
            self.follow(now, &event);
            for observer in &mut self.observers {
                observer.event(&event);
            }
        }
    }

    /// Keeps the connections known, and the gate informed of their states.
    fn follow(&mut self, now: Instant, event: &Event) {
        let Some(id) = event.conn else { return };
        match event.what {
            What::Opened { local, remote, .. } => {
                self.known
                    .entry(id)
                    .or_insert_with(|| Known::new(local, remote));
            }
            What::State { to, .. } => {
                if let Some(known) = self.known.get(&id) {
                    self.gate.state_changed(now, known.local, known.remote, to);
                }
            }
            What::Closed(_) => {
                self.known.remove(&id);
            }
            _ => {}
        }
    }

    /// The one record of a segment: when it passes the gate, or is dropped there.
    fn tell_segment(
        &mut self,
        at: Instant,
        conn: Option<ConnId>,
        label: Option<Label>,
        judgement: &Judgement,
        packet: &[u8],
    ) {
        if self.observers.is_empty() || judgement.waits() {
            return;
        }
        let Ok(segment) = Segment::parse(packet, ChecksumPolicy::Ignore) else {
            return;
        };
        let mut record = SegmentRecord::new(at, conn, label, &segment, judgement.retransmission);
        if let Some(id) = conn {
            record.window <<= self.shift(id, record.out, &segment.header);
        }
        for observer in &mut self.observers {
            observer.segment(&record, judgement, packet);
        }
    }

    /// By how much the window in this header is to be shifted: by nothing in a SYN, and unless both
    /// SYNs had the option (RFC 7323 2.2).
    fn shift(&mut self, id: ConnId, out: bool, header: &Header) -> u8 {
        if header.flags.contains(Flags::SYN) {
            let (local, remote) = if out {
                (header.source, header.destination)
            } else {
                (header.destination, header.source)
            };
            let known = self
                .known
                .entry(id)
                .or_insert_with(|| Known::new(local, remote));
            let shift = if out {
                &mut known.shift
            } else {
                &mut known.peer_shift
            };
            *shift = shift.or(header.options.window_scale);
            return 0;
        }
        match self.known.get(&id) {
            Some(Known {
                shift: Some(ours),
                peer_shift: Some(theirs),
                ..
            }) => *(if out { ours } else { theirs }).min(&14),
            _ => 0,
        }
    }
}

/// Whether the gate keeps the packet for later: it is told of once, when it really goes.
fn kept(judgement: &Judgement) -> bool {
    !judgement.goes_on() && !matches!(judgement.verdict, Verdict::Drop | Verdict::Full)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};
    use tcpx_proto::config::Config;
    use tcpx_proto::time::Duration;

    /// What an observer was told, in order.
    #[derive(Debug)]
    enum Told {
        Event(Event),
        Segment(SegmentRecord),
    }

    #[derive(Clone, Default)]
    struct Diary(Arc<Mutex<Vec<Told>>>);

    impl Observer for Diary {
        fn event(&mut self, event: &Event) {
            self.0.lock().unwrap().push(Told::Event(event.clone()));
        }

        fn segment(&mut self, record: &SegmentRecord, _: &Judgement, _: &[u8]) {
            self.0.lock().unwrap().push(Told::Segment(record.clone()));
        }
    }

    impl Diary {
        fn segments(&self) -> Vec<SegmentRecord> {
            let told = self.0.lock().unwrap();
            told.iter()
                .filter_map(|told| {
                    if let Told::Segment(record) = told {
                        Some(record.clone())
                    } else {
                        None
                    }
                })
                .collect()
        }
    }

    /// Two hosts and a wire without delay.
    struct Pair {
        now: Instant,
        client: Edge,
        server: Edge,
        diaries: [Diary; 2],
    }

    const CLIENT: &str = "10.0.0.1:4000";
    const SERVER: &str = "10.0.0.2:80";

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn edge(own: SocketAddr, faults: &[&str], observers: Vec<Box<dyn Observer>>) -> Edge {
        let mut stack = Stack::new(Config::default(), u64::from(own.port()));
        stack.reserve(own.ip(), own.port()..=own.port());
        Edge::new(
            stack,
            Gate::new(
                faults
                    .iter()
                    .map(|line| FaultRule::parse(line).unwrap())
                    .collect(),
                1,
            ),
            observers,
        )
    }

    impl Pair {
        fn new() -> Pair {
            Pair::with(&[])
        }

        /// A pair whose client's gate has these rules.
        fn with(faults: &[&str]) -> Pair {
            let diaries = [Diary::default(), Diary::default()];
            let client = edge(address(CLIENT), faults, vec![Box::new(diaries[0].clone())]);
            let server = edge(address(SERVER), &[], vec![Box::new(diaries[1].clone())]);
            Pair {
                now: Instant(1_000_000),
                client,
                server,
                diaries,
            }
        }

        /// Carries packets to and fro until both are silent.
        fn settle(&mut self) {
            let mut packet = [0; 1500];
            loop {
                self.now = self.now + Duration::from_micros(1);
                let (from, to) = (&mut self.client, &mut self.server);
                if let Some(outgoing) = from.poll_transmit(self.now, &mut packet) {
                    to.arrives(self.now, &packet[..outgoing.len]);
                } else if let Some(outgoing) = to.poll_transmit(self.now, &mut packet) {
                    from.arrives(self.now, &packet[..outgoing.len]);
                } else {
                    return;
                }
            }
        }

        /// Both ends of a connection that is established.
        fn connect(&mut self) -> (ConnId, ConnId) {
            let config = Config::default().conn;
            let listener = self
                .server
                .stack
                .listen(self.now, address(SERVER), 4, &config)
                .unwrap();
            let client = self
                .client
                .stack
                .connect(
                    self.now,
                    FourTuple {
                        local: address(CLIENT),
                        remote: address(SERVER),
                    },
                    &config,
                )
                .unwrap();
            self.settle();
            (
                client,
                self.server.stack.accept(self.now, listener).unwrap(),
            )
        }
    }

    #[test]
    fn syn_that_opens_a_connection_is_told_before_its_events_and_belongs_to_it() {
        let mut pair = Pair::new();
        let (_, accepted) = pair.connect();
        let told = pair.diaries[1].0.lock().unwrap();
        let Some(Told::Segment(syn)) = told.iter().find(|told| matches!(told, Told::Segment(_)))
        else {
            panic!("{told:?}")
        };
        assert!(
            !syn.out && syn.flags == Flags::SYN && syn.conn == Some(accepted),
            "{syn:?}"
        );
        let place = |wanted: fn(&Told) -> bool| told.iter().position(wanted).unwrap();
        assert!(
            place(|told| matches!(told, Told::Segment(_)))
                < place(|told| matches!(
                    told,
                    Told::Event(Event {
                        packet: Some(1),
                        ..
                    })
                ))
        );
    }

    #[test]
    fn window_is_told_unscaled_in_a_syn_and_scaled_after_it() {
        let mut pair = Pair::new();
        let (client, _) = pair.connect();
        let windows: Vec<u32> = pair.diaries[0]
            .segments()
            .iter()
            .map(|record| record.window)
            .collect();
        let receive = pair.client.stack.status(client).unwrap().rcv_wnd;
        let [syn, syn_ack, ack] = windows[..] else {
            panic!("{windows:?}")
        };
        assert!(syn <= 65_535 && syn_ack <= 65_535, "{windows:?}");
        assert!(
            ack > 65_535 && ack.abs_diff(receive) < 256,
            "{ack} of {receive}"
        );
    }

    #[test]
    fn abort_is_told_with_its_connection_at_both_ends() {
        let mut pair = Pair::new();
        let (client, accepted) = pair.connect();
        pair.client.stack.abort(pair.now, client).unwrap();
        pair.settle();
        for (diary, conn) in pair.diaries.iter().zip([client, accepted]) {
            let last = diary.segments().pop().unwrap();
            assert!(
                last.flags.contains(Flags::RST) && last.conn == Some(conn),
                "{last:?}"
            );
        }
        assert!(pair.client.known.is_empty() && pair.server.known.is_empty());
    }

    #[test]
    fn vanished_host_says_and_hears_nothing_while_its_timers_run() {
        let mut pair = Pair::new();
        let (client, accepted) = pair.connect();
        let before = pair.diaries[0].segments().len();
        pair.client.vanish();
        pair.server
            .stack
            .send(pair.now, accepted, b"anybody there?")
            .unwrap();
        pair.client.stack.send(pair.now, client, b"no").unwrap();
        pair.settle();
        let tries = |pair: &Pair| pair.client.stack.status(client).unwrap().retransmissions;
        // Deadlines may come too early, so not each of them is a retransmission.
        for _ in 0..12 {
            pair.now = pair.client.deadline().unwrap();
            pair.client.timeout(pair.now);
            pair.settle();
        }
        assert!(tries(&pair) >= 3);
        assert_eq!(pair.client.stack.status(client).unwrap().unread, 0);
        assert_eq!(pair.server.stack.status(accepted).unwrap().unread, 0);
        assert_eq!(pair.diaries[0].segments().len(), before);
    }

    #[test]
    fn segment_that_the_gate_drops_is_told_and_does_not_arrive() {
        let mut pair = Pair::with(&["drop out ack-of-syn"]);
        let config = Config::default().conn;
        pair.server
            .stack
            .listen(pair.now, address(SERVER), 4, &config)
            .unwrap();
        pair.client
            .stack
            .connect(
                pair.now,
                FourTuple {
                    local: address(CLIENT),
                    remote: address(SERVER),
                },
                &config,
            )
            .unwrap();
        pair.settle();
        let flags = |diary: &Diary| {
            diary
                .segments()
                .iter()
                .map(|record| record.flags.to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(flags(&pair.diaries[0]), ["S", "SA", "A"]);
        assert_eq!(flags(&pair.diaries[1]), ["S", "SA"]);
    }

    #[test]
    fn segment_that_the_gate_delays_is_told_once_when_it_goes() {
        for (rule, out) in [("delay=30ms out data", true), ("delay=30ms in data", false)] {
            let mut pair = Pair::with(&[rule]);
            let (client, accepted) = pair.connect();
            let data = |pair: &Pair| {
                pair.diaries[0]
                    .segments()
                    .into_iter()
                    .filter(|record| record.len > 0)
                    .collect::<Vec<_>>()
            };
            let sent = pair.now;
            if out {
                pair.client.stack.send(sent, client, b"late").unwrap();
            } else {
                pair.server.stack.send(sent, accepted, b"late").unwrap();
            }
            pair.settle();
            assert_eq!(data(&pair), []);
            pair.now = sent + Duration::from_millis(31);
            pair.settle();
            let [told] = &data(&pair)[..] else {
                panic!("{:?}", data(&pair))
            };
            assert!(
                told.out == out && told.at >= sent + Duration::from_millis(30),
                "{told:?}"
            );
            assert_eq!(told.conn, Some(client));
            let unread = [
                pair.client.stack.status(client),
                pair.server.stack.status(accepted),
            ]
            .map(|status| status.unwrap().unread);
            assert_eq!(unread, if out { [0, 4] } else { [4, 0] });
        }
    }

    #[test]
    fn segment_held_back_goes_into_the_next_connection_of_the_four_tuple() {
        let mut pair = Pair::with(&["hold=old out data#1", "release=old on established#2"]);
        let (client, accepted) = pair.connect();
        pair.client.stack.send(pair.now, client, b"old").unwrap();
        pair.settle();
        pair.client.stack.abort(pair.now, client).unwrap();
        pair.settle();
        pair.server.stack.close(pair.now, accepted).unwrap();
        pair.client
            .stack
            .connect(
                pair.now,
                FourTuple {
                    local: address(CLIENT),
                    remote: address(SERVER),
                },
                &Config::default().conn,
            )
            .unwrap();
        pair.settle();
        let old: Vec<_> = pair.diaries[1]
            .segments()
            .into_iter()
            .filter(|record| !record.out && record.len == 3)
            .collect();
        assert_eq!(old.len(), 1, "{old:?}");
        assert!(old[0].conn.is_some_and(|conn| conn != accepted), "{old:?}");
    }

    #[test]
    fn edge_without_observers_and_rules_keeps_no_record() {
        let mut plain = edge(address(CLIENT), &[], Vec::new());
        plain
            .stack
            .connect(
                Instant(1),
                FourTuple {
                    local: address(CLIENT),
                    remote: address(SERVER),
                },
                &Config::default().conn,
            )
            .unwrap();
        assert!(plain.poll_transmit(Instant(1), &mut [0; 1500]).is_some());
        assert!(plain.stack.poll_event().is_none() && plain.known.is_empty());
    }
}
