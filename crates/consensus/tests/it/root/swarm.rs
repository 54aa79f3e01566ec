//! Thousands of runs, each drawn from its seed.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use anfs_primitives::Height;

use super::byzantine::conspirators;
use super::checks::FINAL_WITHIN_MS;
use super::net::{Net, Weather};
use super::shards::Lie;

/// What came of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) failed: Option<String>,
    pub(super) digest: u64,
    pub(super) blocks: u64,
    pub(super) views: u64,
    pub(super) steps: u64,
    pub(super) messages: u64,
    pub(super) evidence: std::collections::BTreeMap<&'static str, u64>,
}

fn weather(rng: &mut anfs_sim::rng::Rng) -> Weather {
    let storm = rng.chance(700);
    let some = |rng: &mut anfs_sim::rng::Rng, most: u64| if storm { rng.below(most) } else { 0 };
    Weather {
        heal_ms: rng.between(4_000, 12_000),
        delay_ms: rng.between(20, 150),
        loss: some(rng, 300),
        double: some(rng, 200),
        late: some(rng, 100),
        crash: some(rng, 40),
        partition: some(rng, 700),
        deaf: *rng.pick(&[0, 0, 0, 900, 1000]),
        blackout: if rng.chance(300) { rng.below(400) } else { 0 },
    }
}

/// One run: foul weather, healing, then progress.
pub(super) fn run(seed: u64) -> Outcome {
    let mut rng = anfs_sim::rng::Rng::new(seed ^ 0x5eed);
    let shards = *rng.pick(&[1, 1, 2, 2, 2, 4]);
    let verifiers = if rng.chance(300) { rng.between(1, 2) } else { rng.between(3, 4) };
    let weather = weather(&mut rng);
    let heal_ms = weather.heal_ms;
    let mut net = Net::new(seed, shards, u16::try_from(verifiers).unwrap(), weather);
    if shards > 1 && rng.chance(300) {
        let lie = *rng.pick(&[Lie::Overdrawn, Lie::Ahead, Lie::Fork]);
        let shard = rng.index(net.shards.len());
        net.shards[shard].lie = Some((rng.between(1, 30), lie));
        let domain = net.shards[shard].domain;
        net.checks.captured.insert(domain);
    }
    if rng.chance(200) {
        let shard = rng.index(net.shards.len());
        net.shards[shard].withholds = Some(rng.between(1, 30));
    }
    let natures = if rng.chance(800) { conspirators(&mut net) } else { Default::default() };
    net.populate(&natures);
    net.run_until(heal_ms);
    judge(&mut net, heal_ms);
    let views = net.processes.iter().filter_map(|process| process.core.as_ref());
    Outcome {
        failed: net.checks.failed.clone(),
        digest: net.checks.digest ^ net.steps,
        blocks: net.chain.len() as u64,
        views: views.map(|core| core.status().views_changed).max().unwrap_or_default(),
        steps: net.steps,
        messages: net.checks.consumed.values().sum(),
        evidence: net.checks.evidence.clone(),
    }
}

/// Once healed, all that was certified becomes final, and what it sends the root is consumed.
fn judge(net: &mut Net, heal_ms: u64) {
    let certified: Vec<u64> = net.shards.iter().map(|shard| shard.references.len() as u64).collect();
    let height = net.chain.len() as u64;
    let end = heal_ms + 10 * FINAL_WITHIN_MS;
    while net.checks.failed.is_none() && net.now_ms < end {
        net.run_until(net.now_ms + 1000);
        let reached = net.lowest();
        let honest = net.processes.iter().filter(|process| net.checks.honest.contains(&process.seat));
        let behind = honest.filter_map(|process| process.core.as_ref()).any(|core| {
            net.shards.iter().zip(&certified).any(|(shard, certified)| {
                let most = shard.lie.map_or(*certified, |(from, _)| (*certified).min(from - 1));
                let shown = shard.withholds.map_or(most, |from| most.min(from - 1));
                core.state().tip(shard.domain).unwrap().height.0 < most
                    || (1..=shown).any(|one| core.state().want(shard.domain, Height(one)).is_some())
            })
        });
        if reached >= height + 3 && !behind {
            return;
        }
    }
    let tips = net.lowest();
    net.checks.fail(format!("no progress: {tips} root blocks of {height} at healing"));
}

fn swarm(seeds: std::ops::Range<u64>) -> Vec<(u64, Outcome)> {
    let (next, outcomes) = (AtomicU64::new(seeds.start), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        break;
                    }
                    let outcome = run(seed);
                    // What is wrong with one is enough to look at.
                    if outcome.failed.is_some() {
                        next.store(seeds.end, Ordering::Relaxed);
                    }
                    outcomes.lock().unwrap().push((seed, outcome));
                }
            });
        }
    });
    let mut outcomes = outcomes.into_inner().unwrap();
    outcomes.sort_by_key(|(seed, _)| *seed);
    outcomes
}

#[test]
fn no_seed_breaks_the_root() {
    // For a longer hunt.
    let seeds = std::env::var("ROOT_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(2000);
    let outcomes = swarm(0..seeds);
    let failed: Vec<String> = outcomes
        .iter()
        .filter_map(|(seed, outcome)| Some(format!("seed {seed}: {}", outcome.failed.as_ref()?)))
        .collect();
    let sum = |of: fn(&Outcome) -> u64| outcomes.iter().map(|(_, outcome)| of(outcome)).sum::<u64>();
    let (blocks, views, steps) = (sum(|one| one.blocks), sum(|one| one.views), sum(|one| one.steps));
    let messages = sum(|one| one.messages);
    println!("{blocks} root blocks, {messages} messages to the root, {views} views changed, {steps} steps");
    assert!(
        failed.is_empty(),
        "{} seeds fail; the first: {:#?}",
        failed.len(),
        &failed[..failed.len().min(8)]
    );
    assert!(messages > blocks / 4, "{messages} messages in {blocks} blocks");
    for kind in ["proposals", "votes", "timeouts", "overdrawn"] {
        let met: u64 = outcomes.iter().filter_map(|(_, outcome)| outcome.evidence.get(kind)).sum();
        assert!(met > 0 || seeds < 1000, "no run has evidence of {kind}");
    }
}

/// In this run a seat crashes between the record of a PrepareCert and that of the commit that answers it.
#[test]
fn a_seat_comes_back_in_the_view_of_the_certificate_that_it_holds() {
    assert_eq!(run(698).failed, None);
}

#[test]
fn a_seed_gives_one_run() {
    for seed in 0..20 {
        assert_eq!(run(seed), run(seed), "seed {seed}");
    }
}
