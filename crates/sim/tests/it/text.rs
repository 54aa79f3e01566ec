//! Scenarios as text: what is understood, and what is said of what is not.

use anfs_primitives::SeatIndex;
use anfs_sim::scenario::TEXT_BYTES_MAX;
use anfs_sim::{Behaviour, Event, Scenario, Skew};

fn error(text: &str) -> String {
    Scenario::parse(text).expect_err("this must not be understood").to_string()
}

#[test]
fn the_first_comment_is_the_title() {
    let scenario = Scenario::parse("\n# Who does what.\n# More.\nshard 4 # small\nseed 9\nrun 3s").unwrap();
    assert_eq!(scenario.title, "Who does what.");
    assert_eq!((scenario.plan.verifiers, scenario.plan.seed, scenario.plan.duration_ms), (4, 9, 3_000));
}

#[test]
fn faults_become_events_in_order_of_time() {
    let text = "shard 4\nat 2s kill SV1 for 500ms\nat 1s disk full SV2 for 3s\nat 1500ms weather loss 2.5% delay 7ms\n\
                at 3s kill all for 1s\nat 9s clog SG to verifiers for 1s";
    let plan = Scenario::parse(text).unwrap().plan;
    let times: Vec<(u64, &str)> = plan.events.iter().map(|(at, event)| (*at, event.name())).collect();
    assert_eq!(
        times,
        [
            (1_000, "disk full"),
            (1_500, "weather"),
            (2_000, "crash"),
            (2_500, "restart"),
            (3_000, "crash of all"),
            (4_000, "disk ok"),
            (4_000, "restart"),
            (9_000, "clog"),
            (10_000, "heal"),
        ]
    );
    let Event::Weather(weather) = &plan.events[1].1 else { panic!("{:?}", plan.events[1]) };
    assert_eq!((weather.loss, weather.delay_ms), (25, 7));
}

#[test]
fn a_separation_that_outlasts_another_begins_again_when_that_one_ends() {
    let text = "shard 4\nat 1s cut SV1 to SG for 5s\nat 2s cut SV2 to SG for 1s\nat 3s cut SV3 to SG for 9s";
    let plan = Scenario::parse(text).unwrap().plan;
    let cut = |seat: u16| {
        let (from, to) = ([SeatIndex(seat)].into(), [SeatIndex::GENERATOR].into());
        Event::Cut { from, to }
    };
    let expected = [
        (1_000, cut(1)),
        (2_000, cut(2)),
        (3_000, Event::Heal),
        (3_000, cut(1)),
        (3_000, cut(3)),
        (6_000, Event::Heal),
        (6_000, cut(3)),
        (12_000, Event::Heal),
    ];
    assert_eq!(plan.events, expected);
}

#[test]
fn seats_lie_run_late_and_lose_syncs() {
    let text = "shard 7\nSV1 SV2 lie: invalid-slice 3 share 20%\nSG lies: withhold from-half\nSV3 lies: slow by 2s\n\
                SV4 clock -2s x1.25\nverifiers disk loses syncs";
    let plan = Scenario::parse(text).unwrap().plan;
    assert_eq!(plan.byzantine[&SeatIndex(1)], plan.byzantine[&SeatIndex(2)]);
    assert!(matches!(plan.byzantine[&SeatIndex(2)], Behaviour::Invalid { share: 200, .. }));
    assert!(matches!(plan.byzantine[&SeatIndex(0)], Behaviour::Withhold(_)));
    assert_eq!(plan.byzantine[&SeatIndex(3)], Behaviour::Slow { by_ms: 2_000 });
    assert_eq!(plan.skew[&SeatIndex(4)], Skew { offset_ms: -2_000, rate_per_mille: 1_250 });
    assert_eq!(plan.disks.len(), 7);
}

/// Every behaviour that the simulator has can be written down.
#[test]
fn every_lie_has_a_word() {
    let undrawn = Behaviour::Stall { spare_ms: 1_000 };
    for behaviour in Behaviour::all(7).into_iter().chain([undrawn]) {
        let word = match behaviour.name() {
            "dead" => "silent".to_owned(),
            name @ ("slow" | "stall") => format!("{name} by 1s"),
            "invalid slice" => "invalid-slice 1".to_owned(),
            "collude" => "collude slice 1".to_owned(),
            name => name.replace(' ', "-"),
        };
        let plan = Scenario::parse(&format!("shard 7\nSV1 lies: {word}")).unwrap().plan;
        assert_eq!(plan.byzantine[&SeatIndex(1)].name(), behaviour.name());
    }
}

#[test]
fn errors_name_the_line_and_the_remedy() {
    let cases = [
        ("", "line 1: nothing is said; begin with `shard 10`"),
        ("# only words", "line 1: nothing is said"),
        ("run 5s", "line 1: the shard's size is not known yet; begin with `shard 10`"),
        ("shard 5", "line 1: 5 is not 3f + 1; write 4, 7, 10"),
        ("shard 1000", "write a number from 1 to"),
        ("shard 4 5", "`5` is one word too many"),
        ("shard 4\n\nat 2s kill SV9", "line 3: `SV9` is no seat of this shard; name seats as SG, SV1 to SV4"),
        ("shard 4\nat 2 kill SV1", "line 2: `2` is no time; write it as 2s"),
        ("shard 4\nat 2s", "line 2: the line ends too early; add what happens"),
        ("shard 4\nat 2s explode SV1", "`explode` is nothing that can happen; after the time comes kill"),
        ("shard 4\nat 2s kill", "the line ends too early; name seats"),
        ("shard 4\nat 2s partition SV1 SV2", "add `|`"),
        ("shard 4\nat 2s partition SV1 | SV1 SV2", "SV1 is on both sides"),
        ("shard 4\nat 2s clog SV1 to rest", "add `for`"),
        ("shard 4\nat 2s disk melts SV1", "a disk is not `melts`"),
        ("shard 4\nat 2h kill SV1", "`2h` is no time"),
        ("shard 4\nat 99m kill SV1", "no scenario lasts more than an hour"),
        ("shard 4\nSV1 lies: badly", "`badly` is no lie; write silent"),
        ("shard 4\nSV1 lies: withhold mostly", "`mostly` is no way to do that; write from-all"),
        ("shard 4\nSV1 lies: invalid-slice 4", "a slice cannot be 4; write a number from 0 to 3"),
        ("shard 4\nSV1 lies lazy", "write `:`"),
        ("shard 4\nverifiers lie: lazy", "all verifiers lie"),
        ("shard 4\nSV1 sings", "`sings` is not said of seats"),
        ("shard 4\nSV1 clock fast", "`fast` says nothing of a clock"),
        ("shard 4\nweather loss 200%", "`200%` is no share"),
        ("shard 4\nweather rain", "`rain` is no weather"),
        ("shard 4\ndance", "`dance` begins no line"),
        ("shard 4\nexpect wonders", "`wonders` cannot be expected; after expect comes safe"),
        ("shard 4\nexpect height", "add a number"),
        ("shard 4\nexpect height >= many", "`many` is not a number"),
        ("shard 4\nexpect SV1 fast", "the line ends too early"),
        ("shard 4\nexpect height 1 by 1s after 2s", "the end lies before the start"),
        ("shard 4\nexpect next block", "add `within`"),
        ("shard 4\nexpect next block of SV9 within 1s", "`SV9` is no seat"),
        ("shard 4\nexpect next block within 3", "add `slots`"),
        ("shard 4\nexpect next block within 0 slots", "the number of slots cannot be 0"),
        ("shard 4\nexpect next block within 1 slot +", "add a time"),
        ("shard 4\nexpect next block within soon", "`soon` is no time"),
        ("shard 4\nexpect next block within view by 3s", "the end is said twice; leave out `by`"),
        ("shard 4\nexpect broken hearts", "`hearts` is no rule"),
        ("shard 4\nexpect evidence against SV1 of malice", "`malice` is no kind of evidence"),
        ("shard 4\nexpect safe now", "`now` is one word too many"),
    ];
    for (text, words) in cases {
        let error = error(text);
        assert!(error.contains(words), "{text:?} gives {error:?}, without {words:?}");
    }
}

#[test]
fn length_is_bounded() {
    assert!(error(&"#\n".repeat(TEXT_BYTES_MAX)).contains("too long"));
    assert!(error(&"\n".repeat(500)).contains("too many lines"));
    assert!(error(&"x".repeat(300)).contains("line is too long"));
}

/// Words in any order are either understood or refused in words.
#[test]
fn nonsense_is_refused_without_harm() {
    let words = [
        "shard",
        "4",
        "at",
        "1s",
        "kill",
        "SV1",
        "SG",
        "rest",
        "|",
        "for",
        "partition",
        "expect",
        "height",
        ">=",
        "by",
        "lies",
        ":",
        "clock",
        "x9",
        "+1s",
        "weather",
        "loss",
        "5%",
        "\n",
        "\n",
        "all",
        "SV1..SV9",
        "disk",
        "é",
        "run",
        "18446744073709551615",
        "to",
        "cut",
        "clog",
        "60m",
        "heal",
        "-1s",
        "x0",
        "..",
        "SV",
        "next",
        "block",
        "within",
        "view",
        "slots",
        "+",
        "#",
    ];
    let mut rng = anfs_sim::rng::Rng::new(5);
    let mut understood = 0;
    for _ in 0..20_000 {
        let length = rng.between(1, 12);
        let tail: Vec<&str> = (0..length).map(|_| *rng.pick(&words)).collect();
        let text = format!("shard 4\n{}", tail.join(" "));
        match Scenario::parse(&text) {
            Ok(_) => understood += 1,
            Err(error) => assert!(!error.remedy.is_empty() && error.line <= 13, "{error}"),
        }
    }
    assert!(understood > 10, "{understood}");
}
