//! `anfs sim`: runs, pictures, scenarios and swarms.

use std::fs;
use std::process::Output;

use serde_json::Value;

use crate::harness::anfs;

fn sim(args: &[&str]) -> Output {
    anfs().arg("sim").args(args).output().expect("the program was built with this test")
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn json(args: &[&str]) -> Value {
    let output = sim(&[args, &["--json"]].concat());
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", err(&output)))
}

#[test]
fn a_seed_is_run_summed_up_and_drawn() {
    let dir = tempfile::tempdir().unwrap();
    let page = dir.path().join("run.html");
    let page = page.to_str().unwrap();
    let drawn = sim(&["--seed", "3", "--verifiers", "4", "--trace", page, "--twice"]);
    assert!(drawn.status.success(), "{}", err(&drawn));
    for words in ["Seed 3", "decided", "views", "injected", "trace hash", "no rule broken", page] {
        assert!(out(&drawn).contains(words), "{words} is not in {}", out(&drawn));
    }
    let html = fs::read_to_string(page).unwrap();
    assert!(
        html.starts_with("<!doctype html>") && html.contains(r#""lanes":["SG","SV1","SV2","SV3","SV4"]"#)
    );
    let value = json(&["--seed", "3", "--verifiers", "4"]);
    assert_eq!((&value["passed"], &value["verifiers"]), (&true.into(), &4.into()));
    assert!(html.contains(value["traceHash"].as_str().unwrap()), "watching changes nothing");
    let part = sim(&["--seed", "3", "--verifiers", "4", "--trace", page, "--from", "1s", "--to", "1500ms"]);
    assert!(part.status.success(), "{}", err(&part));
    assert!(fs::read_to_string(page).unwrap().contains(r#""window":[1000,1500]"#));
}

#[test]
fn a_scenario_is_held_to_what_it_expects() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.sim");
    let file = path.to_str().unwrap();
    let text = "# A test.\nshard 4\nrun 2s\nexpect height >= 10\nexpect view = 0\n";
    fs::write(&path, text).unwrap();
    let good = sim(&["--scenario", file]);
    assert!(good.status.success() && out(&good).contains("as expected"), "{}{}", out(&good), err(&good));
    fs::write(&path, format!("{text}expect height >= 1000\n")).unwrap();
    let bad = sim(&["--scenario", file]);
    assert_eq!(bad.status.code(), Some(1));
    assert!(out(&bad).contains("line 6: expect height >= 1000: SG is at"), "{}", out(&bad));
    assert!(out(&bad).contains(&format!("anfs sim --scenario {file} --trace out.html")), "{}", out(&bad));
    assert_eq!(json(&["--scenario", file])["failures"].as_array().unwrap().len(), 1);
    fs::write(&path, "shard 4\nat noon kill SG\n").unwrap();
    let wrong = sim(&["--scenario", file]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(err(&wrong).contains("line 2: `noon` is no time; write it as 2s"), "{}", err(&wrong));
    let missing = sim(&["--scenario", "nowhere.sim"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(err(&missing).contains("cannot read nowhere.sim"), "{}", err(&missing));
}

#[test]
fn a_swarm_adds_up_and_comes_out_the_same_on_any_number_of_threads() {
    let swarm = |threads: &str| {
        let mut value = json(&[
            "--seeds",
            "24",
            "--first-seed",
            "7",
            "--threads",
            threads,
            "--verifiers",
            "4",
            "--twice",
        ]);
        assert!(value["eventsPerSecond"].as_u64().unwrap() > 0);
        value.as_object_mut().unwrap().remove("eventsPerSecond");
        value
    };
    let one = swarm("1");
    assert_eq!(one, swarm("2"));
    assert_eq!((&one["runs"], &one["passed"]), (&24.into(), &true.into()));
    assert!(one["viewsChanged"].as_u64().unwrap() > 0 && one["injected"].as_object().unwrap().len() > 5);
    let shown = sim(&["--seeds", "3", "--verifiers", "4"]);
    assert!(shown.status.success(), "{}", err(&shown));
    for words in ["3 runs, seeds 0 to 2", "hours", "% fast", "Injected", "no rule broken"] {
        assert!(out(&shown).contains(words), "{words} is not in {}", out(&shown));
    }
}

#[test]
fn flags_that_make_no_sense_are_refused() {
    for (args, words) in [
        (&["--verifiers", "5"][..], "3f + 1"),
        (&["--seed", "1", "--seeds", "2"], "cannot be used with"),
        (&["--seeds", "2", "--trace", "x.html"], "cannot be used with"),
        (&["--from", "1s"], "--trace"),
        (&["--trace", "x.html", "--from", "soon"], "--from soon: write a time as 2s"),
        (&["--trace", "x.html", "--from", "2s", "--to", "1s"], "--to must be later"),
        (&["--seeds", "2", "--first-seed", "18446744073709551615"], "beyond the largest seed"),
    ] {
        let refused = sim(args);
        assert_eq!(refused.status.code(), Some(2), "{args:?}: {}", err(&refused));
        assert!(err(&refused).contains(words), "{args:?}: {}", err(&refused));
    }
}

#[test]
fn networks_are_run_and_summed_up() {
    let one = sim(&["--network", "--seed", "3", "--twice"]);
    assert!(one.status.success(), "{}", err(&one));
    for words in
        ["Network of seed 3", "root blocks", "across shards", "every coin accounted for", "the same twice"]
    {
        assert!(out(&one).contains(words), "{words} is not in {}", out(&one));
    }
    let many = |threads: &str| {
        let args = ["--network", "--seeds", "8", "--first-seed", "40", "--threads", threads];
        let mut value = json(&args);
        value.as_object_mut().unwrap().remove("stepsPerSecond");
        value
    };
    let networks = many("1");
    assert_eq!((&networks["passed"], &networks["runs"]), (&true.into(), &8.into()));
    assert!(networks["operations"].as_u64() > Some(1_000), "{networks}");
    assert_eq!(many("3"), networks);
    let wrong = sim(&["--network", "--trace", "a.html"]);
    assert_eq!(wrong.status.code(), Some(2), "{}", err(&wrong));
}
