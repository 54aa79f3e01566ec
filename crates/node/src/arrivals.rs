//! What the root has made final for a domain: the messages that its blocks must consume, in the order in which they
//! must.
//!
//! ```text
//!   root thread ── push(root block, batches) ──▶ ┌──────────┐ ── due(reference, cursors) ──▶ builder, worker
//!                                                │ Arrivals │
//!   committer ───── prune(durable header) ─────▶ └──────────┘ ── grown ─────────────────────▶ whoever waits
//! ```
//!
//! What a block consumes follows from its root reference and its parent's cursors alone, so that it need not say it.
//! All that is pushed has been verified against final headers. Order, gaps and memory are held to here.
//!
//! spec: PROTOCOL §9; Domains D9, D10

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anfs_primitives::{
    CrossMessage, DomainId, Height, InboxCursor, MessageBody, RootHash, RootReference, ShardHeader,
};
use parking_lot::{Condvar, Mutex};

/// Bytes of messages that are held at most, about. One root block may go beyond it.
const HELD_BYTES_MAX: usize = 256 * 1024 * 1024;
/// What a message costs beside its data, about.
const MESSAGE_BYTES: usize = 320;

/// What a block has to consume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Due {
    /// The reference is final. These messages are due, in this order: all of them, or more than fit into a block.
    Messages(Vec<Arc<CrossMessage>>),
    /// The reference, or something that it makes final, is not known here yet.
    NotYet,
    /// Another root block is final at the reference's height.
    Foreign,
}

/// Why a root block was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// Too many messages wait to be consumed. Blocks of the shard make room: push again when it has decided some.
    #[error("too many messages wait to be consumed; push again later")]
    Full,
    /// Not the root block that is next.
    #[error("root block {have} was pushed; {want} is next")]
    Order {
        /// The height that is next; of the first push, the highest that may be.
        want: Height,
        /// The one pushed.
        have: Height,
    },
    /// A lane's messages do not follow those before.
    #[error("message {have} of the lane from domain {source_domain} was pushed; {want} is next")]
    Gap {
        /// The lane's source.
        source_domain: DomainId,
        /// The number that is next.
        want: u64,
        /// The one pushed.
        have: u64,
    },
}

/// See the module docs. Cheap to share.
pub struct Arrivals {
    held: Mutex<Held>,
    grown: Condvar,
    bell: Mutex<Option<Bell>>,
    inbox_gas: u64,
}

/// Rings when something was pushed.
type Bell = Box<dyn Fn() + Send>;

#[derive(Debug, Default)]
struct Held {
    /// The newest root block that was pushed.
    latest: RootReference,
    /// Root blocks that a block above the durable head may refer to.
    known: BTreeMap<Height, RootHash>,
    /// By height of the root block that made them final, then source.
    batches: VecDeque<Batch>,
    /// The number of the next message of each lane to be pushed.
    tails: BTreeMap<DomainId, u64>,
    /// Messages that durable blocks have consumed.
    consumed: BTreeMap<DomainId, u64>,
    /// Root reference of the newest durable block.
    durable: RootReference,
    bytes: usize,
}

/// Messages of one lane that one root block made final.
#[derive(Debug)]
struct Batch {
    root: Height,
    source: DomainId,
    messages: VecDeque<Arc<CrossMessage>>,
}

impl Arrivals {
    /// What has arrived in a domain whose newest durable block has this header: nothing that is known yet. The root
    /// blocks that are missing are to be pushed again.
    #[must_use]
    pub fn new(durable: &ShardHeader) -> Self {
        let arrivals = Self {
            held: Mutex::default(),
            grown: Condvar::new(),
            bell: Mutex::new(None),
            inbox_gas: durable.gas_limit / 2,
        };
        arrivals.prune(durable);
        arrivals
    }

    /// Adds the next root block, with the messages that it makes final for the domain: of each source all of them, in the
    /// order of their numbers, in one batch or several. Those that durable blocks have consumed may be left out.
    ///
    /// The first block pushed is at most the one that the durable head refers to, and so low that what the blocks below it
    /// made final has been consumed; block 1 will always do. A block that was pushed before is passed over.
    ///
    /// # Errors
    /// [`PushError`]; nothing has changed then.
    pub fn push(
        &self,
        root: RootReference,
        mut batches: Vec<(DomainId, Vec<Arc<CrossMessage>>)>,
    ) -> Result<(), PushError> {
        batches.sort_by_key(|(source, _)| *source);
        let mut held = self.held.lock();
        let first = held.latest == RootReference::default();
        let next = held.latest.height.next();
        if root.height < next && !first {
            return Ok(());
        }
        let want = if first { held.durable.height.max(Height(1)) } else { next };
        if root.height == Height::ZERO || root.height > want || (!first && root.height != next) {
            return Err(PushError::Order { want, have: root.height });
        }
        if held.bytes >= HELD_BYTES_MAX {
            return Err(PushError::Full);
        }
        let (batches, tails) = held.follow(root.height, batches)?;
        held.tails = tails;
        held.bytes += batches.iter().map(Batch::bytes).sum::<usize>();
        held.batches.extend(batches);
        held.known.insert(root.height, root.hash);
        held.latest = root;
        drop(held);
        self.grown.notify_all();
        if let Some(ring) = &*self.bell.lock() {
            ring();
        }
        Ok(())
    }

    /// The newest root block that a block may refer to; the zero reference before the first.
    #[must_use]
    pub fn latest(&self) -> RootReference {
        self.held.lock().latest
    }

    /// What a block with this root reference has to consume, on top of a block with these cursors.
    #[must_use]
    pub fn due(&self, reference: &RootReference, cursors: &[InboxCursor]) -> Due {
        if reference.height == Height::ZERO {
            let nothing = *reference == RootReference::default();
            return if nothing { Due::Messages(Vec::new()) } else { Due::Foreign };
        }
        let held = self.held.lock();
        match held.known.get(&reference.height) {
            Some(hash) if *hash == reference.hash => {}
            Some(_) => return Due::Foreign,
            None => return Due::NotYet,
        }
        let mut next: BTreeMap<DomainId, u64> =
            cursors.iter().map(|cursor| (cursor.source, cursor.consumed)).collect();
        // A block beside the durable chain: what it would have consumed is gone, and nobody will decide it.
        if held.consumed.iter().any(|(source, consumed)| next.get(source).unwrap_or(&0) < consumed) {
            return Due::NotYet;
        }
        let mut due = Vec::new();
        let mut gas = 0u64;
        for batch in held.batches.iter().take_while(|batch| batch.root <= reference.height) {
            let at = next.entry(batch.source).or_default();
            for message in batch.messages.iter().filter(|message| message.sequence >= *at) {
                due.push(message.clone());
                gas = gas.saturating_add(message.gas());
                if gas > self.inbox_gas {
                    return Due::Messages(due);
                }
            }
        }
        Due::Messages(due)
    }

    /// Forgets what nobody will ask for any more, now that a block with this header is durable.
    pub fn prune(&self, durable: &ShardHeader) {
        let held = &mut *self.held.lock();
        held.durable = durable.root_reference;
        held.known = held.known.split_off(&durable.root_reference.height);
        for cursor in &durable.inbox_cursors {
            held.consumed.insert(cursor.source, cursor.consumed);
        }
        while let Some(batch) = held.batches.front_mut() {
            let consumed = held.consumed.get(&batch.source).copied().unwrap_or_default();
            while let Some(message) = batch.messages.front().filter(|message| message.sequence < consumed) {
                held.bytes -= message_bytes(message);
                batch.messages.pop_front();
            }
            if !batch.messages.is_empty() {
                return;
            }
            held.batches.pop_front();
        }
    }

    /// Waits until the newest root block is another than `seen`, at most `timeout`.
    pub(crate) fn wait_beyond(&self, seen: &RootReference, timeout: Duration) {
        let mut held = self.held.lock();
        if held.latest == *seen {
            self.grown.wait_for(&mut held, timeout);
        }
    }

    /// Has something done whenever a root block was pushed; it must not wait. Takes the place of what was to be done
    /// before.
    pub(crate) fn on_growth(&self, ring: impl Fn() + Send + 'static) {
        *self.bell.lock() = Some(Box::new(ring));
    }
}

impl fmt::Debug for Arrivals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arrivals").field("latest", &self.latest()).finish_non_exhaustive()
    }
}

impl Held {
    /// The batches without what is consumed, and where the lanes are after them.
    fn follow(
        &self,
        root: Height,
        batches: Vec<(DomainId, Vec<Arc<CrossMessage>>)>,
    ) -> Result<(Vec<Batch>, BTreeMap<DomainId, u64>), PushError> {
        let mut tails = self.tails.clone();
        let mut kept = Vec::new();
        for (source, messages) in batches {
            let consumed = self.consumed.get(&source).copied().unwrap_or_default();
            let tail = tails.entry(source).or_default();
            *tail = consumed.max(*tail);
            let mut fresh = VecDeque::new();
            for message in messages.into_iter().filter(|message| message.sequence >= consumed) {
                if message.sequence != *tail {
                    return Err(PushError::Gap {
                        source_domain: source,
                        want: *tail,
                        have: message.sequence,
                    });
                }
                *tail += 1;
                fresh.push_back(message);
            }
            if !fresh.is_empty() {
                kept.push(Batch { root, source, messages: fresh });
            }
        }
        Ok((kept, tails))
    }
}

impl Batch {
    fn bytes(&self) -> usize {
        self.messages.iter().map(|message| message_bytes(message)).sum()
    }
}

/// What a message takes in memory, about.
pub(crate) fn message_bytes(message: &CrossMessage) -> usize {
    let data = match &message.body {
        MessageBody::Call(call) => call.data.len(),
        MessageBody::Result(result) => result.data.len(),
        MessageBody::Credit { .. } | MessageBody::Route { .. } => 0,
    };
    MESSAGE_BYTES + data
}
#[cfg(test)]
mod tests;
