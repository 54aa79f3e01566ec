//! What becomes of what seats do: disks, the network, and the checkers that look on.

use std::sync::Arc;

use anfs_consensus::LogRecord;
use anfs_primitives::{ConsensusMessage, Height, SeatIndex};

use super::{Item, World};
use crate::observe::TraceEvent;
use crate::report::Rule;
use crate::seat::Action;

impl World {
    pub(super) fn perform(&mut self, seat: SeatIndex, action: Action) {
        let trusted = self.is_trusted(seat);
        match action {
            Action::Send { to, message } => {
                self.before_sending(seat, &message, trusted);
                self.post(seat, to, &message);
            }
            Action::Broadcast(message) => {
                self.before_sending(seat, &message, trusted);
                for to in self.plan.seats().filter(|to| *to != seat) {
                    self.post(seat, to, &message);
                }
            }
            Action::WakeAt(at_ms) => {
                let place = self.place_mut(seat);
                place.alarm += 1;
                let (at_ms, alarm) = (place.clock.simulated(at_ms), place.alarm);
                self.queue.push(at_ms.max(self.now_ms), Item::Tick { seat, alarm });
            }
            Action::WorkUntil { at_ms, work } => {
                let place = self.place(seat);
                let (at_ms, incarnation) = (place.clock.simulated(at_ms), place.incarnation);
                self.queue.push(at_ms.max(self.now_ms), Item::Done { seat, incarnation, work });
            }
            Action::Building { height, slot, view } => {
                self.tell(|| TraceEvent::Building { seat, height, slot, view });
            }
            Action::Persist(_) | Action::Decide(_) | Action::Compact(_) => self.write(seat, action, trusted),
            Action::Evidence(evidence) => {
                if self.plan.is_honest(seat) {
                    let offender = evidence.offender();
                    let innocent = self.is_trusted(offender);
                    self.checker.evidence(&evidence, innocent, &mut self.report);
                    self.object(seat);
                    let evidence = Arc::new(evidence);
                    self.tell(|| TraceEvent::Evidence { by: seat, evidence });
                }
            }
            Action::Penalise { seat: whom, offence } => {
                if self.plan.is_honest(seat) {
                    if self.is_trusted(whom) {
                        self.report.penalties += 1;
                        self.checker.penalised(whom, offence);
                        self.object(seat);
                    }
                    self.tell(|| TraceEvent::Penalised { by: seat, seat: whom, offence });
                }
            }
            Action::Misdeed(what) => self.inject(what),
            Action::Fail(text) => {
                if self.plan.is_honest(seat) {
                    self.violate(Some(seat), Rule::Contract, text);
                }
                self.crash(seat, "failed");
            }
        }
    }

    fn write(&mut self, seat: SeatIndex, action: Action, trusted: bool) {
        let disk = &mut self.places[usize::from(seat.0)].disk;
        let written = match action {
            Action::Persist(record) => {
                if trusted {
                    let tip = Height(disk.chain().len() as u64);
                    self.checker.writing(seat, tip, &record);
                    self.checker.persisted(seat, &record);
                }
                if !self.observers.is_empty()
                    && let LogRecord::Vote(vote) = &record
                {
                    let vote = vote.clone();
                    for observer in &mut self.observers {
                        observer.on(self.now_ms, &TraceEvent::Voted { vote: vote.clone() });
                    }
                }
                disk.persist(record)
            }
            Action::Decide(decided) => {
                let (header, kind) = (decided.block.header.clone(), decided.certificate.kind);
                let view = decided.certificate.target.view;
                self.trail.decided(self.now_ms, seat, &header);
                if self.plan.is_honest(seat) {
                    self.checker.decided(&decided);
                }
                let written = disk.append(decided);
                if written && self.luck.chance(500) {
                    disk.sync_blocks();
                }
                let (height, block, proposer) = (header.height, header.hash(), header.proposer);
                self.tell(|| TraceEvent::Decided { seat, height, block, kind, view, proposer });
                self.toward_goal(seat, height);
                written
            }
            Action::Compact(records) => {
                disk.sync_blocks();
                self.checker.synced(seat);
                disk.rewrite(records)
            }
            _ => true,
        };
        self.object(seat);
        if !written {
            self.place_mut(seat).waits_for_room = true;
            self.crash(seat, "disk full");
        }
    }

    /// What is signed must be on disk before it goes out.
    fn before_sending(&mut self, seat: SeatIndex, message: &ConsensusMessage, trusted: bool) {
        let disk = &mut self.places[usize::from(seat.0)].disk;
        match message {
            ConsensusMessage::Proposal(proposal) => self.checker.proposed(&proposal.header),
            ConsensusMessage::NewView(opening) => self.checker.opened(opening),
            _ => {}
        }
        if disk.is_dirty() {
            disk.sync_log();
            self.checker.synced(seat);
        }
        if trusted {
            self.checker.sending(seat, message);
            self.object(seat);
        }
    }

    fn post(&mut self, from: SeatIndex, to: SeatIndex, message: &Arc<ConsensusMessage>) {
        if from == to {
            return;
        }
        let fate = self.network.send(self.now_ms, from, to, message, &mut self.wires);
        self.report.counts.sent += 1;
        for at_ms in [fate.first_ms, fate.second_ms].into_iter().flatten() {
            self.queue.push(at_ms, Item::Deliver { from, to, message: message.clone() });
        }
        if fate.first_ms.is_none() {
            self.report.counts.lost += 1;
        }
        if !self.observers.is_empty() {
            for arrives_ms in [Some(fate.first_ms), fate.second_ms.map(Some)].into_iter().flatten() {
                let message = message.clone();
                self.tell(|| TraceEvent::Sent { from, to, message, arrives_ms });
            }
        }
    }

    fn toward_goal(&mut self, seat: SeatIndex, height: Height) {
        let Some((goal, missing)) = self.goal.as_mut() else { return };
        if height >= *goal && missing.remove(&seat) && missing.is_empty() {
            self.report.recovery_ms = Some(self.now_ms - self.plan.heal_at_ms);
            self.over = true;
        }
    }
}
