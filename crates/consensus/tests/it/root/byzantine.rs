//! What forgers make of their messages.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_primitives::{B256, U256};
use anfs_consensus::root::{RootCrypto, RootDraft};
use anfs_crypto::merkle;
use anfs_crypto::votes::target_of;
use anfs_primitives::{
    BlsSignature, Certificate, CertificateKind, InboundBatch, RootBlock, RootCertificate, RootMessage,
    RootProposal, RootSeat, RootTimeout, SealedHeader, SeatGroup, SeatIndex, SeatSet, ShardReference,
    SignedRootTimeout, SignerSet, TimeoutCertificate, TimeoutGroup, View,
};
use anfs_sim::rng::Rng;

use super::crypto::FakeCrypto;
use super::net::{Nature, Net};
use super::shards::Shard;

/// Draws seats that are not honest, with less than a third of all stake together. Often one forger alone: the rest is then
/// more than a quorum, which it can mislead.
pub(super) fn conspirators(net: &mut Net) -> BTreeMap<RootSeat, Nature> {
    let mut seats: Vec<RootSeat> = net.config.seats().collect();
    net.rng.shuffle(&mut seats);
    let alone = net.rng.chance(500);
    let (mut natures, mut stake) = (BTreeMap::new(), alloy_primitives::U256::ZERO);
    for seat in seats {
        let more = stake + net.config.stake(seat).unwrap();
        if net.rng.chance(300) || net.config.total_stake() <= more * alloy_primitives::U256::from(3) {
            continue;
        }
        stake = more;
        if alone {
            return BTreeMap::from([(seat, Nature::Forger)]);
        }
        let natures_all = [Nature::Twin, Nature::Forger, Nature::Forger, Nature::Amnesiac, Nature::Silent];
        natures.insert(seat, *net.rng.pick(&natures_all));
    }
    natures
}

fn garbled(rng: &mut Rng, signature: &BlsSignature) -> BlsSignature {
    let mut garbled = *signature;
    garbled[rng.index(16)] ^= 1;
    garbled
}

impl Net {
    fn forger(&self, index: usize) -> FakeCrypto {
        FakeCrypto { own: self.processes[index].seat, keys: self.keys.clone() }
    }

    /// Sends something forged beside or in place of a message; true when it is in place of it.
    pub(super) fn forge(&mut self, index: usize, to: Option<RootSeat>, message: &RootMessage) -> bool {
        if !self.rng.chance(600) {
            return false;
        }
        let seat = self.processes[index].seat;
        match message {
            RootMessage::Proposal(proposal) => self.forge_proposal(index, proposal),
            RootMessage::Tally(tally) => {
                let mut tally = tally.clone();
                match self.rng.below(4) {
                    0 => tally.signature = garbled(&mut self.rng, &tally.signature),
                    1 => {
                        let more = [0, 1].map(SeatIndex).into_iter().collect();
                        tally.seats = tally.seats.union(more);
                    }
                    2 if tally.seats == SeatSet::of(seat.seat) => {
                        tally.target.block.0[0] ^= 1;
                        tally.signature =
                            self.forger(index).sign_vote(seat, tally.kind, &tally.target).unwrap();
                    }
                    _ => return self.rng.chance(500),
                }
                self.carry(index, to, &RootMessage::Tally(tally));
                self.rng.chance(500)
            }
            RootMessage::Certificate(certificate) => {
                let mut certificate = certificate.clone();
                match self.rng.below(3) {
                    0 => certificate.kind = CertificateKind::Commit,
                    1 => certificate.target.block.0[0] ^= 1,
                    // Withheld from most.
                    _ => {
                        let seats: Vec<RootSeat> = self.config.seats().collect();
                        let lucky = *self.rng.pick(&seats);
                        self.carry(index, Some(lucky), message);
                        return true;
                    }
                }
                self.carry(index, to, &RootMessage::Certificate(certificate));
                self.rng.chance(300)
            }
            RootMessage::Timeout(signed) => {
                let mut signed: SignedRootTimeout = (**signed).clone();
                self.usurp(index, &signed.timeout.clone());
                if self.rng.chance(300) {
                    signed.signature = garbled(&mut self.rng, &signed.signature);
                } else {
                    // Hides what it has seen.
                    (signed.timeout.prepared, signed.certificate) = (None, None);
                    signed.signature = self.forger(index).sign_timeout(seat, &signed.timeout).unwrap();
                }
                self.carry(index, to, &RootMessage::Timeout(Box::new(signed)));
                true
            }
            RootMessage::Report(report) => {
                let mut report = report.clone().into_inner();
                let at = self.rng.index(report.len());
                report[at].certificate.signature = garbled(&mut self.rng, &report[at].certificate.signature);
                self.carry(index, to, &RootMessage::Report(report.try_into().unwrap()));
                self.rng.chance(500)
            }
            RootMessage::Block(block) => {
                let mut block = (**block).clone();
                let mut body = (*block.block).clone();
                let mut references = body.references.into_inner();
                if references.pop().is_none() {
                    return true;
                }
                body.references = references.try_into().unwrap();
                block.block = Arc::new(body);
                self.carry(index, to, &RootMessage::Block(Box::new(block)));
                true
            }
            _ => self.rng.chance(300),
        }
    }

    /// Another proposal in place of the one that the protocol has, to some or all: of another block, whatever the time-outs
    /// say, or of shard blocks that nobody has certified.
    fn forge_proposal(&mut self, index: usize, proposal: &RootProposal) -> bool {
        if self.rng.chance(500) {
            let kind = self.rng.below(5);
            let Some(block) = tampered(&mut self.rng, &self.shards, &proposal.block, kind) else {
                return false;
            };
            let other = self.signed(index, proposal.view, proposal.timeouts.clone(), block);
            self.divide(index, proposal, &other);
            return true;
        }
        let mut references = proposal.block.references.to_vec();
        match self.rng.below(4) {
            0 | 1 => references.clear(),
            2 if !references.is_empty() => {
                let last = references.last_mut().unwrap();
                last.certificate.signature = garbled(&mut self.rng, &last.certificate.signature);
            }
            _ => {
                let state = self.processes[index].core.as_ref().unwrap().state();
                references = vec![invented(state.tips().next().unwrap().1)];
            }
        }
        let timeouts = proposal.timeouts.clone();
        let Some(other) = self.other_proposal(index, proposal.view, timeouts, references) else {
            return false;
        };
        self.divide(index, proposal, &other);
        true
    }

    /// Sends another proposal to some or all, and the own one to the rest.
    fn divide(&mut self, index: usize, proposal: &RootProposal, other: &RootMessage) {
        let mine = RootMessage::Proposal(Box::new(proposal.clone()));
        let all = self.rng.chance(400);
        for to in self.config.seats().collect::<Vec<_>>() {
            let message = if all || self.rng.chance(500) { other } else { &mine };
            self.carry(index, Some(to), message);
        }
    }

    /// A proposal of other shard blocks, well signed.
    fn other_proposal(
        &mut self,
        index: usize,
        view: View,
        timeouts: Option<TimeoutCertificate>,
        references: Vec<ShardReference>,
    ) -> Option<RootMessage> {
        let seat = self.processes[index].seat;
        let core = self.processes[index].core.as_ref().unwrap();
        let head = core.state().head();
        let timestamp_ms = self.now_ms.max(head.timestamp_ms + 1) + self.rng.below(3);
        let draft = RootDraft {
            epoch: self.config.epoch,
            view,
            proposer: seat,
            timestamp_ms,
            references,
            inbound: Vec::new(),
            execution: self.roots[&head.hash()].execution.clone(),
        };
        let (block, _) = core.state().build(draft).ok()?;
        Some(self.signed(index, view, timeouts, block))
    }

    fn signed(
        &self,
        index: usize,
        view: View,
        timeouts: Option<TimeoutCertificate>,
        block: RootBlock,
    ) -> RootMessage {
        let seat = self.processes[index].seat;
        let target = self.config.target(block.header.height, view, block.header.hash());
        let signature = self.forger(index).sign_proposal(seat, &target).unwrap();
        RootMessage::Proposal(Box::new(RootProposal { view, block: Arc::new(block), timeouts, signature }))
    }

    /// Opens a view that it leads on its own time-out alone, as if nothing had been prepared.
    fn usurp(&mut self, index: usize, timeout: &RootTimeout) {
        let seat = self.processes[index].seat;
        let led = (timeout.view.0..timeout.view.0 + 8).map(View);
        let led = led.filter(|view| self.config.leader(timeout.height, view.next()) == seat);
        for view in led.collect::<Vec<_>>() {
            let alone = RootTimeout { view, prepared: None, ..*timeout };
            let signature = self.forger(index).sign_timeout(seat, &alone).unwrap();
            let signers = vec![SeatGroup { domain: seat.domain, seats: SeatSet::of(seat.seat) }];
            let signers = signers.try_into().unwrap();
            let groups = vec![TimeoutGroup { prepared: None, signers, signature }].try_into().unwrap();
            let opening = TimeoutCertificate { height: timeout.height, view, groups, prepared: None };
            let proposal = self.other_proposal(index, view.next(), Some(opening), Vec::new());
            self.carry(index, None, &proposal.unwrap());
        }
    }
}

/// A shard block that nobody has certified.
fn invented(tip: &SealedHeader) -> ShardReference {
    let mut header = tip.header().clone();
    (header.height, header.parent) = (tip.height.next(), tip.hash());
    (header.value_in, header.value_out, header.burned) = Default::default();
    let header = header.seal();
    let certificate = Certificate {
        kind: CertificateKind::Commit,
        target: target_of(&header),
        signers: SignerSet::EMPTY,
        signature: BlsSignature::ZERO,
    };
    ShardReference { header, certificate }
}

/// A block whose header commits to something false: another result of executing its parent, coins that nobody is due,
/// messages that were not sent, or not in this order, or another certificate of its parent.
fn tampered(rng: &mut Rng, shards: &[Shard], block: &RootBlock, kind: u64) -> Option<RootBlock> {
    let mut header = block.header.header().clone();
    let mut inbound = block.inbound.to_vec();
    let mut parent_commit = block.parent_commit.clone();
    match kind {
        0 => header.execution.state_root.0[0] ^= 1,
        1 => header.execution.issued += U256::from(1),
        2 | 3 => {
            let at = rng.index(inbound.len().max(1));
            let batch = inbound.get_mut(at)?;
            if kind == 2 {
                let mut messages = batch.messages.to_vec();
                messages.last_mut()?.origin.0[0] ^= 1;
                batch.messages = messages.try_into().unwrap();
            } else {
                // Well proven, but for the number that comes next.
                let sent = &shards[batch.source.0 as usize - 1].batches[&batch.height.0];
                *batch = sent.stretch(batch.source, batch.height, 1..sent.messages.len())?;
            }
        }
        _ => {
            let commit = parent_commit.as_mut()?;
            commit.signature = garbled(rng, &commit.signature);
        }
    }
    let hashes: Vec<B256> = inbound.iter().map(InboundBatch::hash).collect();
    header.inbound_root = merkle::root(&hashes);
    header.parent_commit = parent_commit.as_ref().map_or(B256::ZERO, RootCertificate::hash);
    let inbound = inbound.try_into().unwrap();
    Some(RootBlock { header: header.seal(), references: block.references.clone(), inbound, parent_commit })
}
