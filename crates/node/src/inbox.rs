//! A thread's mailbox: two bounded queues and a wake-up.
//!
//! *Local* events come from this node's own threads. Their number is bounded by the work that was handed
//! out, so they are never dropped; a sender waits when the queue is at its cap, which only a slow disk
//! brings about. *Network* events come from other nodes and are dropped when full: the protocol repairs
//! loss by request, and a flood must cost its sender, not us.

use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// What woke a receiver.
#[derive(Debug)]
pub(crate) enum Received<T> {
    /// An event, oldest local first.
    Event(T),
    /// The time to wait passed.
    TimedOut,
    /// The inbox was closed and is empty.
    Closed,
}

/// See the module docs.
#[derive(Debug)]
pub(crate) struct Inbox<T> {
    state: Mutex<State<T>>,
    not_empty: Condvar,
    not_full: Condvar,
    local_max: usize,
    network_max: usize,
}

#[derive(Debug)]
struct State<T> {
    local: VecDeque<T>,
    network: VecDeque<T>,
    dropped: u64,
    closed: bool,
}

impl<T> Inbox<T> {
    pub(crate) fn new(local_max: usize, network_max: usize) -> Self {
        let state = State { local: VecDeque::new(), network: VecDeque::new(), dropped: 0, closed: false };
        Self {
            state: Mutex::new(state),
            not_empty: Condvar::new(),
            not_full: Condvar::new(),
            local_max,
            network_max,
        }
    }

    /// Delivers an event of this node, waiting while the queue is full. Nothing is delivered once closed.
    pub(crate) fn push(&self, event: T) {
        let mut state = self.state.lock();
        while state.local.len() >= self.local_max && !state.closed {
            self.not_full.wait(&mut state);
        }
        if !state.closed {
            state.local.push_back(event);
            self.not_empty.notify_one();
        }
    }

    /// Delivers an event of another node, or drops it when the queue is full.
    pub(crate) fn offer(&self, event: T) -> bool {
        let mut state = self.state.lock();
        if state.closed || state.network.len() >= self.network_max {
            state.dropped += 1;
            return false;
        }
        state.network.push_back(event);
        self.not_empty.notify_one();
        true
    }

    /// The next event; waits at most `timeout`, or for ever without one.
    pub(crate) fn receive(&self, timeout: Option<Duration>) -> Received<T> {
        let mut state = self.state.lock();
        loop {
            if let Some(event) = state.local.pop_front() {
                self.not_full.notify_one();
                return Received::Event(event);
            }
            if let Some(event) = state.network.pop_front() {
                return Received::Event(event);
            }
            if state.closed {
                return Received::Closed;
            }
            match timeout {
                None => self.not_empty.wait(&mut state),
                Some(timeout) => {
                    let timed_out = self.not_empty.wait_for(&mut state, timeout).timed_out();
                    if timed_out && state.local.is_empty() && state.network.is_empty() {
                        return if state.closed { Received::Closed } else { Received::TimedOut };
                    }
                }
            }
        }
    }

    /// Events that were dropped because the network queue was full.
    pub(crate) fn dropped(&self) -> u64 {
        self.state.lock().dropped
    }

    /// Closes the inbox and forgets what is in it: a stop without warning.
    pub(crate) fn abort(&self) {
        let mut state = self.state.lock();
        state.local.clear();
        state.network.clear();
        drop(state);
        self.close();
    }

    /// Closes the inbox: senders no longer wait, the receiver drains what is there and then stops.
    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
        self.not_empty.notify_all();
        self.not_full.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_events_come_first_and_network_events_are_dropped_when_full() {
        let inbox = Inbox::new(4, 2);
        assert!(inbox.offer(1) && inbox.offer(2) && !inbox.offer(3));
        inbox.push(9);
        let mut seen = Vec::new();
        while let Received::Event(event) = inbox.receive(Some(Duration::ZERO)) {
            seen.push(event);
        }
        assert_eq!((seen, inbox.dropped()), (vec![9, 1, 2], 1));
    }

    #[test]
    fn a_full_local_queue_makes_the_sender_wait_until_there_is_room() {
        let inbox = Inbox::new(1, 1);
        inbox.push(1);
        std::thread::scope(|scope| {
            let sender = scope.spawn(|| inbox.push(2));
            assert!(matches!(inbox.receive(None), Received::Event(1)));
            sender.join().unwrap();
            assert!(matches!(inbox.receive(None), Received::Event(2)));
        });
    }

    #[test]
    fn closing_drains_and_then_ends() {
        let inbox = Inbox::new(2, 2);
        inbox.push(1);
        inbox.close();
        inbox.push(2);
        assert!(matches!(inbox.receive(None), Received::Event(1)));
        assert!(matches!(inbox.receive(None), Received::Closed));
    }

    #[test]
    fn closing_releases_a_sender_that_waits_and_a_receiver_that_waits() {
        let inbox = Inbox::new(1, 1);
        inbox.push(1);
        std::thread::scope(|scope| {
            let sender = scope.spawn(|| inbox.push(2));
            inbox.close();
            sender.join().unwrap();
        });
        assert!(!inbox.offer(3), "nothing gets in");
        assert!(matches!(inbox.receive(None), Received::Event(_)));
        let empty: Inbox<u8> = Inbox::new(1, 1);
        std::thread::scope(|scope| {
            let receiver = scope.spawn(|| empty.receive(None));
            empty.close();
            assert!(matches!(receiver.join().unwrap(), Received::Closed));
        });
    }

    #[test]
    fn a_flood_from_the_network_neither_grows_nor_delays_local_events() {
        let inbox = Inbox::new(4, 16);
        for message in 0..10_000 {
            inbox.offer(message);
        }
        assert_eq!(inbox.dropped(), 10_000 - 16);
        inbox.push(77_777);
        assert!(matches!(inbox.receive(None), Received::Event(77_777)));
        assert!(matches!(inbox.receive(Some(Duration::ZERO)), Received::Event(0)), "oldest first");
    }
}
