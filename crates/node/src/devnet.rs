//! A whole network in one process: every seat with its own folder, state and threads, and one RPC port.

use std::fs;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use alloy_signer_local::PrivateKeySigner;
use anfs_primitives::{ChainSpec, DomainId, RootSeat, SeatIndex};
use anfs_rpc::{Backend, DevnetControl, RpcConfig, RpcServer};
use anfs_store::disk::SystemDisk;
use metrics_exporter_prometheus::PrometheusHandle;

use crate::backend::{SeatBackend, UnlockedAccounts};
use crate::clock::{Clock, SystemClock};
use crate::control::{Plan, ShardGroup};
use crate::error::NodeError;
use crate::genesis::{self, GenesisChoices};
use crate::network::{DomainChain, NetworkBackend, NetworkFollower, NetworkSources, NetworkView};
use crate::record;
use crate::root::{InProcessNetwork, RootChain, RootLink, root_chain};
use crate::seat::Seat;
use crate::transport::InProcessHub;
use crate::verified::Verified;

pub(crate) const SPEC_FILE: &str = "chain-spec.json";
/// The index of the chain that clients of several shards see.
const NETWORK_FILE: &str = "network.log";
/// Lies in the folder once every seat has run.
pub(crate) const FOUNDED_FILE: &str = "founded";

/// Where a seat of the network in this folder keeps its things.
pub(crate) fn seat_folder(root: &Path, seat: SeatIndex) -> PathBuf {
    root.join(format!("seat-{seat}"))
}

/// Where a shard of a network of several keeps its seats.
fn shard_folder(root: &Path, domain: DomainId) -> PathBuf {
    root.join(format!("shard-{domain}"))
}

/// What a development network is made of.
#[derive(Debug, Clone)]
pub struct DevnetConfig {
    /// The chain spec's choices; the genesis time is set on the first start.
    pub genesis: GenesisChoices,
    /// Where it lives; `None` for a folder that is removed at the end.
    pub data_dir: Option<PathBuf>,
    /// Verifiers that misbehave on purpose: at most f of 3f + 1.
    pub byzantine: u16,
    /// Whether to start anew, removing what the folder holds.
    pub reset: bool,
    /// The RPC server.
    pub rpc: RpcConfig,
}

/// A running development network.
#[derive(Debug)]
pub struct Devnet {
    /// Domain 1 first.
    shards: Vec<Arc<ShardGroup>>,
    /// Puts the network's chain together, if there are several.
    follower: Option<NetworkFollower>,
    server: RpcServer,
    wallets: Vec<PrivateKeySigner>,
    folder: Folder,
}

#[derive(Debug)]
struct Folder {
    path: PathBuf,
    temporary: bool,
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.temporary
            && let Err(error) = fs::remove_dir_all(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove the temporary folder");
        }
    }
}

impl Devnet {
    /// Starts every seat and the RPC server.
    ///
    /// # Errors
    /// When the settings, the folder or the port cannot be used.
    pub async fn start(config: DevnetConfig, metrics: PrometheusHandle) -> Result<Self, NodeError> {
        let bearable = config.genesis.verifiers.saturating_sub(1) / 3;
        if config.byzantine > bearable {
            let (verifiers, asked) = (config.genesis.verifiers, config.byzantine);
            return Err(NodeError::TooManyByzantine { asked, verifiers, bearable });
        }
        log_hash_clock();
        let folder = open_folder(&config)?;
        let wallets = genesis::wallets(&config.genesis.mnemonic, config.genesis.accounts)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let spec = Arc::new(load_or_create_spec(&folder.path, &config.genesis, clock.as_ref())?);
        let shown = match spec.shards.len() {
            1 => None,
            _ => Some(Arc::new(root_chain(&spec)?)),
        };
        let plans = plans(&spec, &folder.path, &config, &clock, shown.as_ref());
        // Recovery reads disks and executes blocks: it must not hold up the runtime's threads.
        let rendered = metrics.clone();
        let starting = tokio::task::spawn_blocking(move || start_shards(plans, &rendered));
        let shards = match starting.await {
            Ok(shards) => shards?,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        };
        let unlocked = Arc::new(UnlockedAccounts::new(wallets.clone()));
        let backends: Vec<Backend> = shards
            .iter()
            .map(|shard| {
                let control: Arc<dyn DevnetControl> = shard.clone();
                shard.backend().serve(Some(unlocked.clone()), Some(control))
            })
            .collect();
        let started = match shown {
            None => Ok((None, backends[0].clone())),
            Some(root) => {
                let (shards, path) = (shards.clone(), folder.path.clone());
                // Where the network's chain goes on is read from disk, and accounts are gathered.
                let starting = move || follow_network(spec, root, &shards, backends, &path);
                match tokio::task::spawn_blocking(starting).await {
                    Ok(started) => started,
                    Err(panic) => std::panic::resume_unwind(panic.into_panic()),
                }
            }
        };
        let serving = async move {
            let (follower, backend) = started?;
            Ok::<_, NodeError>((follower, RpcServer::start(config.rpc, backend).await?))
        };
        match serving.await {
            Ok((follower, server)) => Ok(Self { shards, follower, server, wallets, folder }),
            Err(error) => {
                stop_shards(shards).await;
                Err(error)
            }
        }
    }

    /// Address of the RPC server, with the port that was chosen.
    #[must_use]
    pub fn rpc_address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The chain spec.
    #[must_use]
    pub fn spec(&self) -> &ChainSpec {
        self.shards[0].spec()
    }

    /// The funded accounts.
    #[must_use]
    pub fn wallets(&self) -> &[PrivateKeySigner] {
        &self.wallets
    }

    /// Where the network lives, and whether the folder is removed at the end.
    #[must_use]
    pub fn folder(&self) -> (&Path, bool) {
        (&self.folder.path, self.folder.temporary)
    }

    /// What clients see, whichever seat serves them.
    #[must_use]
    pub fn backend(&self) -> &Arc<SeatBackend> {
        self.shards[0].backend()
    }

    /// Seats may be stopped and started while the network runs.
    #[must_use]
    pub fn control(&self) -> &dyn DevnetControl {
        &*self.shards[0]
    }

    /// Seats that were stopped on purpose.
    #[must_use]
    pub fn stopped(&self) -> Vec<RootSeat> {
        self.of_each(|shard| shard.stopped())
    }

    /// What keeps a running seat from working, if anything does, and whether that seat has stopped for it; a
    /// stopped seat comes first.
    #[must_use]
    pub fn trouble(&self) -> Option<(RootSeat, String, bool)> {
        let troubles = self.shards.iter().flat_map(|shard| {
            let domain = shard.domain();
            let of = move |(seat, trouble, stopped)| (RootSeat { domain, seat }, trouble, stopped);
            shard.troubles().into_iter().map(of)
        });
        troubles.max_by_key(|(_, _, stopped)| *stopped)
    }

    fn of_each(&self, seats: impl Fn(&ShardGroup) -> Vec<SeatIndex>) -> Vec<RootSeat> {
        let shards = self.shards.iter().map(|shard| (shard.domain(), seats(shard)));
        shards
            .flat_map(|(domain, seats)| seats.into_iter().map(move |seat| RootSeat { domain, seat }))
            .collect()
    }

    /// Stops the server, then the seats; everything acknowledged is on disk.
    pub async fn stop(self) {
        self.server.stop().await;
        drop(self.follower);
        stop_shards(self.shards).await;
    }
}

/// Says how this process computes the hash clock.
fn log_hash_clock() {
    let selection = anfs_poh::Selection::of_this_process();
    tracing::info!(kernel = ?selection.kernel, "hash clock");
    for kernel in &selection.rejected {
        tracing::warn!(
            ?kernel,
            "this kernel of the hash clock computes wrongly here and is not used: the node is right, but slower; check the machine"
        );
    }
}

async fn stop_shards(shards: Vec<Arc<ShardGroup>>) {
    let stopping = move || {
        std::thread::scope(|scope| {
            for shard in &shards {
                scope.spawn(|| shard.stop());
            }
        });
    };
    if tokio::task::spawn_blocking(stopping).await.is_err() {
        tracing::error!("a seat panicked while stopping");
    }
}

/// Where and of what each shard is made.
fn plans(
    spec: &Arc<ChainSpec>,
    root: &Path,
    config: &DevnetConfig,
    clock: &Arc<dyn Clock>,
    shown: Option<&Arc<RootChain>>,
) -> Vec<Plan> {
    let verifiers = spec.verifiers_per_shard;
    let hubs: Vec<Arc<InProcessHub>> =
        spec.shards.iter().map(|_| Arc::new(InProcessHub::new(verifiers))).collect();
    let alone = hubs.len() == 1;
    let root_link = if alone {
        None
    } else {
        let transport = Arc::new(InProcessNetwork::new(&hubs, verifiers));
        Some(RootLink { transport, shown: shown.cloned() })
    };
    let verified = Arc::new(Verified::default());
    let plan = |(domain, hub): (DomainId, &Arc<InProcessHub>)| Plan {
        spec: spec.clone(),
        domain,
        root: if alone { root.to_owned() } else { shard_folder(root, domain) },
        mnemonic: config.genesis.mnemonic.clone(),
        clock: clock.clone(),
        hub: hub.clone(),
        verified: verified.clone(),
        byzantine: config.byzantine,
        root_link: root_link.clone(),
    };
    (1u32..).map(DomainId).zip(&hubs).map(plan).collect()
}

/// Puts the shards together to the network that clients see.
fn follow_network(
    spec: Arc<ChainSpec>,
    root: Arc<RootChain>,
    shards: &[Arc<ShardGroup>],
    backends: Vec<Backend>,
    folder: &Path,
) -> Result<(Option<NetworkFollower>, Backend), NodeError> {
    let readers = shards.iter().map(|shard| shard.backend().clone() as Arc<dyn DomainChain>);
    let sources = NetworkSources { spec, root, shards: readers.collect(), index: folder.join(NETWORK_FILE) };
    let follower = NetworkView::start(sources, &SystemDisk)?;
    let backend = NetworkBackend::new(follower.view().clone(), backends).serve();
    Ok((Some(follower), backend))
}

/// Starts all shards, or none.
fn start_shards(plans: Vec<Plan>, metrics: &PrometheusHandle) -> Result<Vec<Arc<ShardGroup>>, NodeError> {
    let started: Vec<_> = std::thread::scope(|scope| {
        let starting: Vec<_> =
            plans.into_iter().map(|plan| scope.spawn(|| start_seats(plan, metrics.clone()))).collect();
        let join = |shard: std::thread::ScopedJoinHandle<'_, _>| {
            shard.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        starting.into_iter().map(join).collect()
    });
    let (mut shards, mut failure) = (Vec::new(), None);
    for shard in started {
        match shard {
            Ok(shard) => shards.push(Arc::new(shard)),
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    match failure {
        None => Ok(shards),
        Some(error) => {
            shards.iter().for_each(|shard| shard.stop());
            Err(error)
        }
    }
}

/// Starts all seats of a shard. Until all of them have run once, the network counts as one that is being created:
/// afterwards a seat without a record of what it signed has lost it.
fn start_seats(plan: Plan, metrics: PrometheusHandle) -> Result<ShardGroup, NodeError> {
    let root = plan.root.clone();
    let failed = |source| NodeError::File { path: root.display().to_string(), source };
    fs::create_dir_all(&root).map_err(failed)?;
    let founding = !root.join(FOUNDED_FILE).exists();
    // Verifiers first: they are listening when the generator speaks.
    let seats = (0..=plan.spec.verifiers_per_shard).rev().map(SeatIndex);
    let mut seats = all_or_none(seats.map(|seat| plan.start(seat, founding)).collect())?;
    seats.reverse();
    if founding {
        record::mark_founded(&root)?;
    }
    Ok(ShardGroup::new(plan, seats, metrics))
}

/// The seats, or, if one could not start, its error once the others are stopped.
fn all_or_none(started: Vec<Result<Seat, NodeError>>) -> Result<Vec<Seat>, NodeError> {
    let mut failure = None;
    let mut seats = Vec::new();
    for seat in started {
        match seat {
            Ok(seat) => seats.push(seat),
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    match failure {
        None => Ok(seats),
        Some(error) => {
            seats.into_iter().for_each(Seat::stop);
            Err(error)
        }
    }
}

fn open_folder(config: &DevnetConfig) -> Result<Folder, NodeError> {
    let folder = match &config.data_dir {
        Some(path) => Folder { path: path.clone(), temporary: false },
        None => {
            let name = format!("anfs-devnet-{}-{:08x}", std::process::id(), rand::random::<u32>());
            Folder { path: std::env::temp_dir().join(name), temporary: true }
        }
    };
    let failed = |source| NodeError::File { path: folder.path.display().to_string(), source };
    if config.reset {
        remove_network(&folder.path)?;
    }
    fs::create_dir_all(&folder.path).map_err(failed)?;
    Ok(folder)
}

/// Removes what this program wrote into a folder, and nothing else. A folder in use is left alone.
fn remove_network(path: &Path) -> Result<(), NodeError> {
    let failed = |path: &Path, source| NodeError::File { path: path.display().to_string(), source };
    let shards = folders_in(path, "shard-")?;
    let mut seats = folders_in(path, "seat-")?;
    for shard in &shards {
        seats.extend(folders_in(shard, "seat-")?);
    }
    for seat in &seats {
        anfs_store::refuse_if_locked(seat)?;
    }
    for folder in seats.into_iter().chain(shards) {
        fs::remove_dir_all(&folder).map_err(|error| failed(&folder, error))?;
    }
    // The spec last: with it the folder is a network.
    for file in [NETWORK_FILE, FOUNDED_FILE, SPEC_FILE].map(|name| path.join(name)) {
        match fs::remove_file(&file) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(&file, error)),
            _ => {}
        }
    }
    Ok(())
}

/// The folders in a folder whose names begin so; none when there is no such folder.
fn folders_in(path: &Path, prefix: &str) -> Result<Vec<PathBuf>, NodeError> {
    let failed = |source| NodeError::File { path: path.display().to_string(), source };
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut folders = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            folders.push(entry.path());
        }
    }
    Ok(folders)
}

fn load_or_create_spec(
    root: &Path,
    choices: &GenesisChoices,
    clock: &dyn Clock,
) -> Result<ChainSpec, NodeError> {
    let path = root.join(SPEC_FILE);
    let failed = |source| NodeError::File { path: path.display().to_string(), source };
    match fs::read_to_string(&path) {
        Ok(text) => {
            let stored = ChainSpec::from_json(&text)?;
            let wanted = GenesisChoices { genesis_time_ms: stored.genesis_time_ms, ..choices.clone() };
            let wanted = genesis::devnet_spec(&wanted)?;
            match first_difference(&stored, &wanted) {
                None => Ok(stored),
                Some(field) => Err(NodeError::OtherNetwork { dir: root.display().to_string(), field }),
            }
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let now = GenesisChoices { genesis_time_ms: clock.now_ms(), ..choices.clone() };
            let spec = genesis::devnet_spec(&now)?;
            // Written whole or not at all: a half-written spec would lock the folder.
            let draft = path.with_extension("json.new");
            fs::write(&draft, spec.to_json()).map_err(failed)?;
            fs::rename(&draft, &path).map_err(failed)?;
            Ok(spec)
        }
        Err(error) => Err(failed(error)),
    }
}

fn first_difference(stored: &ChainSpec, wanted: &ChainSpec) -> Option<&'static str> {
    let differs = [
        (stored.network != wanted.network, "--chain-id"),
        (stored.verifiers_per_shard != wanted.verifiers_per_shard, "--verifiers"),
        (stored.slot_ms != wanted.slot_ms, "--slot-ms"),
        (stored.block_gas_limit != wanted.block_gas_limit, "--gas-limit"),
        (stored.shards.len() != wanted.shards.len(), "--shards"),
        (stored.shards != wanted.shards, "--mnemonic"),
        (stored.accounts != wanted.accounts, "--accounts or --balance"),
        (stored != wanted, "the program's version"),
    ];
    differs.into_iter().find(|(differs, _)| *differs).map(|(_, field)| field)
}
