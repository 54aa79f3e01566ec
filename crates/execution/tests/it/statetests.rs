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
