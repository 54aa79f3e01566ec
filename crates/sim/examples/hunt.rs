//! Looks for the lowest seed of the swarm that breaks a rule: `hunt [count] [threads] [first]`. Prints it and
//! ends with exit code 1 when there is one. A core that panics has broken a rule too.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use anfs_sim::swarm;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<u64>().expect("a number"));
    let count = arguments.next().unwrap_or(1_000);
    let threads = arguments.next().unwrap_or(1);
    let first = arguments.next().unwrap_or(0);
    // What a panic says is printed as a finding.
    set_hook(Box::new(|_| {}));
    let next = AtomicU64::new(first);
    let found = Mutex::new(None::<(u64, String)>);
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            let over =
                found.lock().is_ok_and(|found| found.as_ref().is_some_and(|(lowest, _)| *lowest < seed));
            if over || seed >= first + count {
                break;
            }
            if let Some(text) = broken(seed) {
                let mut found = found.lock().expect("no thread panics while it holds this");
                if found.as_ref().is_none_or(|(lowest, _)| *lowest > seed) {
                    *found = Some((seed, text));
                }
            }
        }
    };
    thread::scope(|scope| (0..threads.max(1)).for_each(|_| drop(scope.spawn(work))));
    match found.into_inner().expect("no thread panics while it holds this") {
        Some((seed, text)) => {
            println!("seed {seed}: {text}");
            ExitCode::FAILURE
        }
        None => {
            println!("no rule broken by {count} seeds");
            ExitCode::SUCCESS
        }
    }
}

/// The first rule that the seed breaks.
fn broken(seed: u64) -> Option<String> {
    match catch_unwind(AssertUnwindSafe(|| swarm::run_one(seed))) {
        Ok(report) => report.violations.first().map(ToString::to_string),
        Err(panic) => Some(format!("panic: {}", words(&*panic))),
    }
}

fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a word")
}
