//! Verifiers that lie when views change, and leaders that open views wrongly.

use std::collections::BTreeMap;

use alloy_primitives::keccak256;
use anfs_consensus::VoteCrypto;
use anfs_primitives::{
    BlockHash, BlsSignature, BoundedVec, Certificate, CertificateKind, ConsensusMessage, Height,
    HeightReport, NewView, Proposal, SealedHeader, SeatIndex, SignedViewChange, View, ViewChange,
};

use super::actor::{Me, Mischief, heard, misdeed, scatter};
use crate::seat::{Action, Outbox, SeatInput};

/// What a promise says that is not so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// It knows of no approval, no PrepareCert, and no decision.
    Nothing,
    /// It approved other blocks than it did: rivals that it met, or blocks that do not exist.
    Others,
    /// It knows the oldest PrepareCert only, and approved in the first view.
    Stale,
    /// It holds PrepareCerts, which nobody signed.
    Forged,
}

/// Remembers the oldest PrepareCert of each height.
#[derive(Debug, Default)]
struct Stale {
    oldest: BTreeMap<Height, Certificate>,
}

impl Stale {
    fn learn(&mut self, me: &Me, certificate: &Certificate) {
        let height = certificate.target.height;
        self.oldest.retain(|height, _| *height > me.tip);
        let known = self.oldest.get(&height).map(|known| known.target.view);
        let genuine = || me.crypto.verify_certificate(me.quorum.decide(), certificate);
        let older = known.is_none_or(|known| certificate.target.view < known);
        if certificate.kind == CertificateKind::Prepare && older && self.oldest.len() < 64 && genuine() {
            self.oldest.insert(height, certificate.clone());
        }
    }
}

/// The lie in place of the truth, signed.
fn lie(me: &mut Me, lie: Lie, stale: &Stale, truth: &ViewChange) -> SignedViewChange {
    let mut change = truth.clone();
    match lie {
        Lie::Nothing => {
            change.reports = BoundedVec::new();
            change.decided = BoundedVec::new();
        }
        Lie::Others => change.reports = claim_others(me, truth),
        Lie::Stale => change.reports = claim_oldest(me, truth, stale),
        Lie::Forged => change.reports = claim_forged(me, truth),
    }
    me.crypto.sign_view_change(me.seat, change).expect("an actor holds the key of its seat")
}

fn above(me: &Me, change: &ViewChange) -> impl Iterator<Item = Height> + use<> {
    let tip = change.decided.last().map_or(me.config.base.0, |tip| tip.target.height);
    (1..=4).map(move |ahead| Height(tip.0 + ahead))
}

fn report(
    height: Height,
    prepared: Option<Certificate>,
    approved: Option<(View, BlockHash)>,
) -> HeightReport {
    HeightReport { height, prepared, approved }
}

fn bounded<const N: usize>(reports: Vec<HeightReport>) -> BoundedVec<HeightReport, N> {
    BoundedVec::try_from(reports).expect("a handful of reports")
}

fn claim_others<const N: usize>(me: &mut Me, truth: &ViewChange) -> BoundedVec<HeightReport, N> {
    let before = View(truth.view.0 - 1);
    let heights: Vec<Height> = above(me, truth).collect();
    let claim = |height: Height| {
        let approved = truth.reports.iter().find(|report| report.height == height);
        let approved = approved.and_then(|report| report.approved).map(|(_, block)| block);
        let rival = me.headers_at(height).map(SealedHeader::hash).find(|hash| Some(*hash) != approved);
        let block = rival.unwrap_or_else(|| keccak256(height.0.to_le_bytes()));
        report(height, None, Some((before, block)))
    };
    bounded(heights.into_iter().map(claim).collect())
}

fn claim_oldest<const N: usize>(me: &Me, truth: &ViewChange, stale: &Stale) -> BoundedVec<HeightReport, N> {
    let claim = |height: Height| {
        let prepared = stale.oldest.get(&height).filter(|cert| cert.target.view < truth.view).cloned();
        let first = me.headers_at(height).min_by_key(|header| header.view).map(SealedHeader::hash);
        let approved = first.map(|block| (View::ZERO, block));
        (prepared.is_some() || approved.is_some()).then(|| report(height, prepared, approved))
    };
    bounded(above(me, truth).filter_map(claim).collect())
}

fn claim_forged<const N: usize>(me: &Me, truth: &ViewChange) -> BoundedVec<HeightReport, N> {
    let claim = |height: Height| {
        let target = anfs_primitives::VoteTarget {
            network: truth.network,
            epoch: truth.epoch,
            domain: truth.domain,
            height,
            view: View(truth.view.0 - 1),
            block: keccak256(height.0.to_be_bytes()),
        };
        let signers = (0..me.quorum.decide()).collect();
        let signature = BlsSignature::repeat_byte(9);
        let forged = Certificate { kind: CertificateKind::Prepare, target, signers, signature };
        report(height, Some(forged), None)
    };
    bounded(above(me, truth).take(1).map(claim).collect())
}

/// Lies in its promises, to all alike, or tells half of the others the truth.
#[derive(Debug)]
pub(super) struct LyingPromise {
    lie: Lie,
    /// One half gets the truth: two promises for one view.
    conflicting: bool,
    stale: Stale,
    told: BTreeMap<View, SignedViewChange>,
}

impl LyingPromise {
    pub(super) fn new(lie: Lie, conflicting: bool) -> Self {
        Self { lie, conflicting, stale: Stale::default(), told: BTreeMap::new() }
    }
}

impl Mischief for LyingPromise {
    fn input(&mut self, me: &mut Me, _: u64, input: SeatInput, _: &mut Outbox) -> Option<SeatInput> {
        if let Some(ConsensusMessage::Certificate(certificate)) = heard(&input) {
            self.stale.learn(me, certificate);
        }
        Some(input)
    }

    fn action(&mut self, me: &mut Me, _: u64, action: Action, out: &mut Outbox) {
        let Action::Broadcast(message) = &action else { return out.push(action) };
        match &**message {
            ConsensusMessage::ViewChange(truth) => {
                let view = truth.change.view;
                for (target, _) in me.votes.keys().copied().collect::<Vec<_>>() {
                    if let Some(certificate) = me.certificate(CertificateKind::Prepare, &target) {
                        self.stale.learn(me, &certificate);
                    }
                }
                let told = match self.told.get(&view) {
                    Some(told) => told.clone(),
                    None => lie(me, self.lie, &self.stale, &truth.change),
                };
                self.told.insert(view, told.clone());
                let promise = ConsensusMessage::ViewChange(Box::new(told));
                if self.conflicting {
                    misdeed("conflicting view changes", out);
                    scatter(&me.halves[0], message, out);
                    scatter(&me.halves[1], &promise, out);
                } else {
                    misdeed("lying view change", out);
                    out.broadcast(promise);
                }
            }
            _ => out.push(action),
        }
    }
}

/// How a leader opens its view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// By the rules, but with those promises, among all heard, that oblige it least; its own says that it knows
    /// nothing. Where nothing is due any more it proposes a block of its own.
    Freeing,
    /// The same with a promise less than a quorum.
    Fewer,
    /// With its own promise, that it knows nothing, as often as a quorum has members.
    Repeated,
    /// Without the last block that it must carry, in whose place it proposes its own.
    Omitting,
    /// Twice, from different promises, each to one half.
    Twice,
    /// With promises for the view before, or with an opening that was another's.
    Stale,
    /// With one promise that nobody signed.
    Forged,
    /// By the rules, and then it proposes another block where one is carried, or decided.
    Overriding,
}

/// Opens views wrongly when it leads.
#[derive(Debug)]
pub(super) struct BadOpening {
    how: Opening,
    /// What the node would have said, by view.
    honest: BTreeMap<View, NewView>,
    /// What was said in its place, to whom.
    said: BTreeMap<View, Vec<(Vec<SeatIndex>, NewView)>>,
    older: Option<NewView>,
}

impl BadOpening {
    /// Sets of promises tried.
    const TRIES: usize = 60;

    pub(super) fn new(how: Opening) -> Self {
        Self { how, honest: BTreeMap::new(), said: BTreeMap::new(), older: None }
    }

    /// An opening from the promises of some quorum, or none when a block is missing.
    fn from_promises(me: &mut Me, honest: &NewView, lying: bool, members: usize) -> Option<NewView> {
        let view = honest.view;
        let own = honest.changes.iter().find(|signed| signed.signer == me.seat)?.clone();
        let own = if lying { lie(me, Lie::Nothing, &Stale::default(), &own.change) } else { own };
        let mut changes: Vec<SignedViewChange> = me
            .promises
            .range((view, SeatIndex(0))..=(view, SeatIndex(u16::MAX)))
            .map(|(_, signed)| signed.clone())
            .filter(|signed| signed.signer != me.seat && me.crypto.verify_view_change(signed))
            .collect();
        let rules = me.rules();
        changes.retain(|signed| rules.check_form(&signed.change).is_ok());
        changes.retain(|signed| rules.check_certificates(&me.crypto, &signed.change).is_ok());
        me.rng.shuffle(&mut changes);
        changes.truncate(members.saturating_sub(1));
        changes.push(own);
        changes.sort_by_key(|signed| signed.signer);
        Self::assemble(me, honest, changes).filter(|opening| opening.changes.len() == members)
    }

    /// What these promises open the view with; none when a block is missing.
    fn assemble(me: &Me, honest: &NewView, changes: Vec<SignedViewChange>) -> Option<NewView> {
        let rules = me.rules();
        let convictions = honest.convictions.clone();
        let find = |hash: &BlockHash| me.proposal(hash).cloned();
        let carried: Vec<Proposal> = rules.collect(&changes, &convictions, find).ok()?;
        let opening = NewView {
            view: honest.view,
            changes: BoundedVec::try_from(changes).ok()?,
            carried: BoundedVec::try_from(carried).ok()?,
            convictions,
            signature: BlsSignature::ZERO,
        };
        Some(me.sign_opening(opening))
    }

    /// The opening, of so many promises, that obliges its leader least.
    fn freest(me: &mut Me, honest: &NewView, members: usize) -> Option<NewView> {
        let tried: Vec<NewView> =
            (0..Self::TRIES).filter_map(|_| Self::from_promises(me, honest, true, members)).collect();
        tried.into_iter().min_by_key(|opening| opening.carried.len())
    }

    /// The header that the first block free to choose stands on.
    fn free_ground(me: &Me, opening: &NewView) -> Option<SealedHeader> {
        let (_, ground) = me.rules().ground(&opening.changes);
        let mut top = me.header(&ground)?.clone();
        for proposal in &*opening.carried {
            if proposal.header.height <= top.height {
                continue;
            }
            if proposal.header.parent != top.hash() {
                break;
            }
            top = proposal.header.clone();
        }
        Some(top)
    }

    fn craft(&mut self, me: &mut Me, honest: &NewView) -> Vec<(Vec<SeatIndex>, NewView)> {
        let (all, quorum) = (me.others.clone(), me.quorum.decide());
        let [first, second] = me.halves.clone();
        let resign = |me: &Me, opening: NewView| vec![(me.others.clone(), me.sign_opening(opening))];
        match self.how {
            Opening::Freeing => {
                let least = Self::freest(me, honest, quorum);
                vec![(all, least.unwrap_or_else(|| honest.clone()))]
            }
            Opening::Fewer => {
                let least = Self::freest(me, honest, quorum - 1);
                vec![(all, least.unwrap_or_else(|| honest.clone()))]
            }
            Opening::Repeated => {
                let own = honest.changes.iter().find(|signed| signed.signer == me.seat).cloned();
                let lying = own.map(|own| lie(me, Lie::Nothing, &Stale::default(), &own.change));
                let changes = lying.map(|lying| vec![lying; quorum]);
                let opening = changes.and_then(|changes| Self::assemble(me, honest, changes));
                vec![(all, opening.unwrap_or_else(|| honest.clone()))]
            }
            Opening::Twice => {
                let other = (0..Self::TRIES).find_map(|_| Self::from_promises(me, honest, true, quorum));
                vec![(first, honest.clone()), (second, other.unwrap_or_else(|| honest.clone()))]
            }
            Opening::Omitting => {
                let mut carried = honest.carried.to_vec();
                if carried.pop().is_none() {
                    return vec![(all, honest.clone())];
                }
                let carried = BoundedVec::try_from(carried).expect("one less than before");
                resign(me, NewView { carried, ..honest.clone() })
            }
            Opening::Stale => match self.older.clone() {
                Some(older) if me.rng.chance(500) => resign(me, older),
                Some(older) => resign(me, NewView { view: honest.view, ..older }),
                None => resign(me, NewView { view: honest.view.next(), ..honest.clone() }),
            },
            Opening::Forged => {
                let mut changes = honest.changes.to_vec();
                if let Some(forged) = changes.iter_mut().find(|signed| signed.signer != me.seat) {
                    forged.change.reports = BoundedVec::new();
                }
                let changes = BoundedVec::try_from(changes).expect("as many as before");
                resign(me, NewView { changes, carried: BoundedVec::new(), ..honest.clone() })
            }
            Opening::Overriding => vec![(all, honest.clone())],
        }
    }

    fn open(&mut self, me: &mut Me, view: View, now_ms: u64, out: &mut Outbox) {
        let Some(honest) = self.honest.get(&view).cloned() else { return };
        let said = self.craft(me, &honest);
        if said.iter().all(|(_, opening)| *opening == honest) && self.how != Opening::Overriding {
            // There was nothing to leave out.
            scatter(&me.others, &ConsensusMessage::NewView(Box::new(honest)), out);
            self.said.insert(view, said);
            return;
        }
        if self.how != Opening::Overriding || !honest.carried.is_empty() {
            misdeed("bad opening of a view", out);
        }
        for (to, opening) in &said {
            scatter(to, &ConsensusMessage::NewView(Box::new(opening.clone())), out);
            let parent = match self.how {
                Opening::Freeing
                | Opening::Fewer
                | Opening::Repeated
                | Opening::Omitting
                | Opening::Forged => Self::free_ground(me, opening),
                Opening::Twice if *opening != honest => Self::free_ground(me, opening),
                Opening::Overriding => {
                    let (_, ground) = me.rules().ground(&opening.changes);
                    let carried = opening.carried.first().map(|carried| carried.header.parent);
                    let parent = carried.or_else(|| me.header(&ground).map(|header| header.parent));
                    parent.and_then(|parent| me.header(&parent)).cloned()
                }
                Opening::Twice | Opening::Stale => None,
            };
            if let Some(parent) = parent {
                misdeed("own block in a bad opening", out);
                me.propose_on(&parent, opening.view, now_ms, to, out);
            }
        }
        self.said.insert(view, said);
    }
}

impl Mischief for BadOpening {
    fn input(&mut self, _: &mut Me, _: u64, input: SeatInput, _: &mut Outbox) -> Option<SeatInput> {
        if let Some(ConsensusMessage::NewView(opening)) = heard(&input)
            && self.older.as_ref().is_none_or(|older| older.view < opening.view)
        {
            self.older = Some((**opening).clone());
        }
        Some(input)
    }

    fn action(&mut self, me: &mut Me, now_ms: u64, action: Action, out: &mut Outbox) {
        let message = match &action {
            Action::Broadcast(message) | Action::Send { message, .. } => message,
            _ => return out.push(action),
        };
        let ConsensusMessage::NewView(opening) = &**message else { return out.push(action) };
        if me.config.leader(opening.view) != me.seat {
            return out.push(action);
        }
        let view = opening.view;
        if let Some(said) = self.said.get(&view) {
            for (to, opening) in said {
                scatter(to, &ConsensusMessage::NewView(Box::new(opening.clone())), out);
            }
            return;
        }
        if self.honest.insert(view, (**opening).clone()).is_none() {
            // More promises may come than the node waits for.
            out.remind_at(now_ms + me.config.fast_timeout_ms / 4, view.0);
        }
    }

    fn remind(&mut self, me: &mut Me, now_ms: u64, of: u64, out: &mut Outbox) {
        self.open(me, View(of), now_ms, out);
    }
}
