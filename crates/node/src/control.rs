//! The seats of one shard of a development network: stopped and started while it runs, and parted from each other.

use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

use anfs_primitives::{ChainSpec, DomainId, SeatIndex};
use anfs_rpc::{BackendError, DevnetControl, SeatReport};
use metrics_exporter_prometheus::PrometheusHandle;
use parking_lot::Mutex;

use crate::backend::{SeatBackend, describe_hold};
use crate::chain::ChainLimits;
use crate::clock::Clock;
use crate::context::SeatContext;
use crate::devnet::seat_folder;
use crate::error::NodeError;
use crate::genesis;
use crate::root::RootLink;
use crate::seat::{Seat, SeatConfig};
use crate::transport::{InProcessHub, Transport};
use crate::verified::Verified;

/// How long a start waits for requests that still read from the seat's old folder, and a release for the seat.
const RELEASE_WAIT: Duration = Duration::from_millis(10);
/// How often it looks.
const RELEASE_LOOKS: u32 = 500;
/// How long a seat that serves waits, before it is stopped, between two looks for one that can take its place.
const HEIR_WAIT: Duration = Duration::from_millis(10);
/// How often it looks.
const HEIR_LOOKS: u32 = 300;
/// How long a start waits between two tries to open the seat's folder.
const FREE_WAIT: Duration = Duration::from_millis(100);
/// How often it tries.
const FREE_LOOKS: u32 = 200;

/// Where and of what the seats of a shard are made.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) spec: Arc<ChainSpec>,
    pub(crate) domain: DomainId,
    pub(crate) root: PathBuf,
    pub(crate) mnemonic: String,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) hub: Arc<InProcessHub>,
    /// Signatures that any seat has found good.
    pub(crate) verified: Arc<Verified>,
    /// So many verifiers misbehave on purpose, the first ones.
    pub(crate) byzantine: u16,
    /// To the other shards, if there are any.
    pub(crate) root_link: Option<RootLink>,
}

impl Plan {
    /// Starts a seat; `founding` when its network is being created.
    pub(crate) fn start(&self, seat: SeatIndex, founding: bool) -> Result<Seat, NodeError> {
        let config = SeatConfig {
            seat,
            domain: self.domain,
            spec: self.spec.clone(),
            key: genesis::seat_key(&self.mnemonic, self.domain, seat),
            entropy: rand::random(),
            verified: self.verified.clone(),
            dir: seat_folder(&self.root, seat),
            limits: if self.may_serve(seat) { ChainLimits::SERVING } else { ChainLimits::CONSENSUS },
            pool: anfs_mempool::PoolLimits::for_chain(&self.spec),
            clock: self.clock.clone(),
            disk: None,
            founding,
            byzantine: self.is_byzantine(seat),
            root: self.root_link.clone(),
        };
        let transport: Arc<dyn Transport> = self.hub.clone();
        Seat::start(&config, &transport)
    }

    /// Starts a seat whose old states others may still hold, which keep its folder open: until they are replaced by those
    /// of the seat that serves now, within a few blocks.
    fn start_when_free(&self, seat: SeatIndex) -> Result<Seat, NodeError> {
        for _ in 0..FREE_LOOKS {
            match self.start(seat, false) {
                Err(NodeError::Store(error)) if error.is_held() => std::thread::park_timeout(FREE_WAIT),
                done => return done,
            }
        }
        self.start(seat, false)
    }

    /// Seats that hold enough of the chain to serve it at once: the first generator, and as many heirs as
    /// may be needed after f of them have failed. Any other seat can take over with less at hand.
    fn may_serve(&self, seat: SeatIndex) -> bool {
        let heirs = usize::from(self.spec.verifiers_per_shard.saturating_sub(1) / 3) + 1;
        seat == SeatIndex::GENERATOR || self.succession().into_iter().take(heirs).any(|heir| heir == seat)
    }

    fn is_byzantine(&self, seat: SeatIndex) -> bool {
        (1..=self.byzantine).contains(&seat.0)
    }

    fn succession(&self) -> Vec<SeatIndex> {
        let base = (anfs_primitives::Height::ZERO, alloy_primitives::B256::ZERO);
        let epoch = anfs_primitives::Epoch::ZERO;
        anfs_consensus::ShardConfig::new(&self.spec, self.domain, epoch, base.1, base).succession
    }
}

/// The seats, and the RPC server's view of them.
#[derive(Debug)]
pub(crate) struct ShardGroup {
    plan: Plan,
    places: Mutex<Vec<Place>>,
    backend: Arc<SeatBackend>,
    /// Held while a seat is stopped or started: one at a time.
    turn: Mutex<()>,
}

/// Where one seat is.
#[derive(Debug)]
enum Place {
    Running(Seat),
    /// Stopped, or on its way; its old self may be read from for a moment.
    Stopped(Weak<SeatContext>),
}

impl Place {
    fn seat(&self) -> Option<&Seat> {
        match self {
            Self::Running(seat) => Some(seat),
            Self::Stopped(_) => None,
        }
    }
}

impl ShardGroup {
    /// Takes over running seats, the generator's first; clients are served from that one.
    pub(crate) fn new(plan: Plan, seats: Vec<Seat>, metrics: PrometheusHandle) -> Self {
        let backend = SeatBackend::new(&seats[0], metrics);
        let places = Mutex::new(seats.into_iter().map(Place::Running).collect());
        Self { plan, places, backend, turn: Mutex::default() }
    }

    pub(crate) fn domain(&self) -> DomainId {
        self.plan.domain
    }

    pub(crate) fn spec(&self) -> &Arc<ChainSpec> {
        &self.plan.spec
    }

    pub(crate) fn backend(&self) -> &Arc<SeatBackend> {
        &self.backend
    }

    /// What keeps running seats from working, and whether the seat has stopped for it.
    pub(crate) fn troubles(&self) -> Vec<(SeatIndex, String, bool)> {
        let places = self.places.lock();
        let troubled = (0u16..).zip(&*places).filter_map(|(index, place)| {
            let health = place.seat()?.health();
            health.trouble().map(|trouble| (SeatIndex(index), trouble, health.stopping()))
        });
        troubled.collect()
    }

    /// Seats that were stopped on purpose.
    pub(crate) fn stopped(&self) -> Vec<SeatIndex> {
        let places = self.places.lock();
        let stopped = (0u16..).zip(&*places).filter(|(_, place)| place.seat().is_none());
        stopped.map(|(index, _)| SeatIndex(index)).collect()
    }

    /// Stops all seats in order; everything acknowledged is on disk.
    pub(crate) fn stop(&self) {
        let _turn = self.turn.lock();
        let places = std::mem::take(&mut *self.places.lock());
        std::thread::scope(|scope| {
            for place in places {
                if let Place::Running(seat) = place {
                    scope.spawn(|| seat.stop());
                }
            }
        });
    }

    fn check(&self, seat: SeatIndex) -> Result<(), BackendError> {
        let last = self.plan.spec.verifiers_per_shard;
        if seat.0 > last {
            let words = format!("there is no seat {seat}: this network has seats 0 to {last}");
            return Err(BackendError::InvalidParams(words));
        }
        Ok(())
    }

    /// Lets another seat serve before this one stops: the first in the line of succession that has what
    /// clients have seen. None may have it yet; if none gets it within a while, then the one that has most.
    fn serve_without(&self, seat: SeatIndex) -> Result<(), BackendError> {
        for last_look in (0..HEIR_LOOKS).map(|look| look + 1 == HEIR_LOOKS) {
            if self.hand_over(seat, last_look)? {
                break;
            }
            std::thread::park_timeout(HEIR_WAIT);
        }
        Ok(())
    }

    /// Lets another seat serve in the place of this one, if it does; whether one was found. One that has less than
    /// clients have seen will do only when `any` does.
    fn hand_over(&self, seat: SeatIndex, any: bool) -> Result<bool, BackendError> {
        let seen = self.backend.head();
        let places = self.places.lock();
        let order = self.plan.succession().into_iter().chain([SeatIndex::GENERATOR]);
        let heirs = order.filter(|heir| *heir != seat).filter_map(|heir| places[usize::from(heir.0)].seat());
        let heirs: Vec<&Seat> = heirs.filter(|heir| !heir.health().stopping()).collect();
        if heirs.is_empty() {
            let words =
                format!("seat {seat} is the last one that runs: start another one before it is stopped");
            return Err(BackendError::InvalidParams(words));
        }
        if self.backend.reads_from() != seat {
            return Ok(true);
        }
        let ready = heirs.iter().find(|heir| heir.chain().height() >= seen);
        let most = || heirs.iter().max_by_key(|heir| heir.chain().height()).filter(|_| any);
        let Some(next) = ready.or_else(most) else { return Ok(false) };
        self.backend.read_from(next);
        Ok(true)
    }

    fn report(&self, seat: SeatIndex, place: &Place, acting: SeatIndex) -> SeatReport {
        let running = place.seat();
        let status = running.map(Seat::status);
        let trouble = running.and_then(|seat| seat.health().trouble());
        let hold = status.as_ref().and_then(|status| status.hold).map(describe_hold);
        SeatReport {
            seat,
            running: running.is_some(),
            acting: seat == acting,
            serving: running.is_some() && self.backend.reads_from() == seat,
            cut: self.plan.hub.is_apart(seat),
            byzantine: self.plan.is_byzantine(seat),
            height: running.map(|seat| seat.chain().head().header.height),
            view: status.map(|status| status.view.0),
            held: hold.is_some(),
            trouble: trouble.or(hold),
        }
    }
}

impl DevnetControl for ShardGroup {
    fn seats(&self) -> Vec<SeatReport> {
        let acting = self.backend.status().acting;
        let places = self.places.lock();
        (0u16..).zip(&*places).map(|(index, place)| self.report(SeatIndex(index), place, acting)).collect()
    }

    fn stop_seat(&self, seat: SeatIndex) -> Result<(), BackendError> {
        self.check(seat)?;
        let _turn = self.turn.lock();
        if !matches!(self.places.lock().get(usize::from(seat.0)), Some(Place::Running(_))) {
            return Err(BackendError::InvalidParams(format!("seat {seat} does not run")));
        }
        self.serve_without(seat)?;
        let place =
            std::mem::replace(&mut self.places.lock()[usize::from(seat.0)], Place::Stopped(Weak::new()));
        if let Place::Running(running) = place {
            let left = Arc::downgrade(running.context());
            running.kill();
            self.places.lock()[usize::from(seat.0)] = Place::Stopped(left);
            tracing::info!(%seat, "seat {seat} was stopped on purpose");
        }
        Ok(())
    }

    fn start_seat(&self, seat: SeatIndex) -> Result<(), BackendError> {
        self.check(seat)?;
        let _turn = self.turn.lock();
        let left = match self.places.lock().get(usize::from(seat.0)) {
            Some(Place::Stopped(left)) => left.clone(),
            _ => return Err(BackendError::InvalidParams(format!("seat {seat} runs already"))),
        };
        for _ in 0..RELEASE_LOOKS {
            if left.strong_count() == 0 {
                break;
            }
            std::thread::park_timeout(RELEASE_WAIT);
        }
        let started = self.plan.start_when_free(seat)?;
        self.places.lock()[usize::from(seat.0)] = Place::Running(started);
        tracing::info!(%seat, "seat {seat} was started again");
        Ok(())
    }

    fn release_seat(&self, seat: SeatIndex) -> Result<(), BackendError> {
        self.check(seat)?;
        let _turn = self.turn.lock();
        let held = || {
            let places = self.places.lock();
            Some(places.get(usize::from(seat.0))?.seat()?.status().hold)
        };
        match held() {
            None => return Err(BackendError::InvalidParams(format!("seat {seat} does not run"))),
            Some(None) => return Ok(()),
            Some(Some(hold)) => {
                let why = describe_hold(hold);
                tracing::warn!(%seat, why, "seat {seat} was told to sign although it was held back");
            }
        }
        if let Some(seat) = self.places.lock().get(usize::from(seat.0)).and_then(Place::seat) {
            seat.release();
        }
        for _ in 0..RELEASE_LOOKS {
            if held().flatten().is_none() {
                return Ok(());
            }
            std::thread::park_timeout(RELEASE_WAIT);
        }
        Err(BackendError::Internal(format!("seat {seat} does not answer: look at its log")))
    }

    fn cut(&self, seats: &[SeatIndex]) -> Result<(), BackendError> {
        seats.iter().try_for_each(|seat| self.check(*seat))?;
        self.plan.hub.cut(seats);
        let apart: Vec<String> = seats.iter().map(ToString::to_string).collect();
        tracing::info!(seats = apart.join(","), "the network is cut");
        Ok(())
    }

    fn heal(&self) {
        self.plan.hub.heal();
        tracing::info!("the network is whole again");
    }
}
