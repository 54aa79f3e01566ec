//! State tests of our own, whose expected roots another implementation computed (see `tests/cases/README.md`).

use anfs_execution::statetest::{Verdict, run};

const CASES: [(&str, &str); 1] = [("own.json", include_str!("../cases/own.json"))];

#[test]
fn our_own_state_tests_pass() {
    let mut passed = 0;
    for (file, text) in CASES {
        for case in run(text).unwrap() {
            assert_eq!(case.verdict, Verdict::Passed, "{file} {} {} {}", case.test, case.fork, case.index);
            passed += 1;
        }
    }
    assert!(passed >= 20, "only {passed} cases ran");
}

#[test]
fn a_wrong_root_or_a_wrong_log_fails() {
    let (_, text) = CASES[0];
    let zeros = format!("\"0x{}\"", "0".repeat(64));
    for field in ["\"hash\": ", "\"logs\": "] {
        let at = text.find(field).unwrap() + field.len();
        let mut broken = text.to_owned();
        broken.replace_range(at..at + zeros.len(), &zeros);
        let failed = run(&broken).unwrap().iter().filter(|case| case.verdict != Verdict::Passed).count();
        assert_eq!(failed, 1);
    }
}

#[test]
fn other_text_is_refused() {
    assert!(run("{\"a\": 1}").is_err());
}

/// Our own cases, each transaction changed.
fn changed(change: impl Fn(&mut serde_json::Map<String, serde_json::Value>)) -> String {
    let mut suite: serde_json::Value = serde_json::from_str(CASES[0].1).unwrap();
    for test in suite.as_object_mut().unwrap().values_mut() {
        change(test["transaction"].as_object_mut().unwrap());
    }
    suite.to_string()
}

#[test]
fn the_sender_follows_from_the_secret_key() {
    // The key of 0xa94f5374fce5edbc8e2a8697c15331677e6ebf0b, from which all of our cases are sent.
    let key = "0x45a915e4d060149eb4365960e6a7a45f334393093061116b197e3240065ff2d8";
    let verdicts = |text: &str| run(text).unwrap().into_iter().map(|case| case.verdict).collect::<Vec<_>>();
    let keyed = changed(|transaction| {
        transaction.remove("sender");
        transaction.insert("secretKey".to_owned(), key.into());
    });
    assert!(verdicts(&keyed).iter().all(|verdict| *verdict == Verdict::Passed));
    let nobodys = changed(|transaction| drop(transaction.remove("sender")));
    let refused = |verdict: &&Verdict| matches!(verdict, Verdict::Failed(why) if why.contains("secretKey"));
    assert!(verdicts(&nobodys).iter().filter(refused).count() > 20);
}

#[test]
fn a_value_that_no_encoding_carries_fails_the_transaction_and_not_the_file() {
    let too_wide = format!("0x:bigint 0x1{}", "0".repeat(64));
    let text = changed(|transaction| {
        transaction["value"].as_array_mut().unwrap().fill(too_wide.clone().into());
    });
    let failed = run(&text).unwrap().iter().filter(|case| case.verdict != Verdict::Passed).count();
    assert!(failed > 20, "only {failed} cases were refused");
}
