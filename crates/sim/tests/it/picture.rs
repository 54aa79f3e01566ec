//! The page that shows a run.

use std::cell::RefCell;
use std::rc::Rc;

use anfs_sim::{Observer, Plan, Recorder, Report, Rule, Scenario, TraceEvent, Violation, Window, World};

fn draw(text: &str, window: Window) -> (String, Report) {
    let scenario = Scenario::parse(text).expect("the text is a scenario");
    let recorder = Rc::new(RefCell::new(Recorder::new(&scenario.plan, window)));
    let outcome = scenario.run_watched(Some(Box::new(Rc::clone(&recorder))));
    let html = Rc::into_inner(recorder).expect("the run is over").into_inner().into_html(
        "A <run> & its \"end\"",
        &outcome.report,
        &[],
    );
    (html, outcome.report)
}

/// The page's data, up to the end of its script element.
fn data(html: &str) -> &str {
    let start = html.find("type=\"application/json\">").expect("the page has data");
    let rest = &html[start..];
    &rest[rest.find('>').expect("it begins") + 1..rest.find("</script>").expect("it ends")]
}

/// The text of one field of the data.
fn field<'a>(html: &'a str, name: &str) -> &'a str {
    let data = data(html);
    let start = data.find(&format!("\"{name}\":")).unwrap_or_else(|| panic!("no {name}"));
    let rest = &data[start + name.len() + 3..];
    rest.split(",\n").next().expect("a split has a first part")
}

const STORY: &str =
    "shard 4\nrun 6s\nSV3 lies: false-alert\nat 1s kill SG for 3s\nat 4s cut SV1 to SV2 for 500ms";

#[test]
fn the_page_has_lanes_messages_and_what_happened() {
    let (html, report) = draw(STORY, Window::ALL);
    assert_eq!(field(&html, "lanes"), r#"["SG","SV1","SV2","SV3","SV4"]"#);
    assert_eq!(field(&html, "roles"), r#"["","","","false alert",""]"#);
    assert_eq!(field(&html, "window"), "[0,6000]");
    assert_eq!(field(&html, "cut"), "\"\"");
    assert!(
        field(&html, "facts")
            .contains(&format!("[\"blocks decided\",\"{}\"]", report.counts.decided_heights))
    );
    let story = field(&html, "story");
    for words in
        ["SG is down", "SG is back", "view 1 is open: SV1 acts as SG", "false alert", "not heard by SV2"]
    {
        assert!(story.contains(words), "{words} is not in {story}");
    }
    let spans = field(&html, "spans");
    for span in [r#"["down",0,1000,4000,"#, r#"["apart",1,4000,4500,"not heard by SV2"]"#, r#"["view",4,"#] {
        assert!(spans.contains(span), "{span} is not in {spans}");
    }
    assert!(data(&html).split("\"sends\":").nth(1).unwrap().matches('[').count() > 500);
    assert!(field(&html, "marks").matches('[').count() > 200);
}

#[test]
fn the_page_needs_nothing_else_and_takes_no_words_for_markup() {
    let (html, _) = draw(STORY, Window::ALL);
    for outside in ["http://", "https://", "src=", "@import", "url(//", "fetch(", "<link"] {
        assert!(!html.contains(outside), "{outside}");
    }
    assert!(html.contains("<title>A &lt;run&gt; &amp; its"));
    assert_eq!(field(&html, "title"), r#""A \u003crun\u003e \u0026 its \"end\"""#);
    assert!(!data(&html).contains('<'));
    assert!(html.contains("prefers-color-scheme: dark"));
    for mark in ["@TITLE@", "@STYLE@", "@DATA@", "@SCRIPT@"] {
        assert!(!html.contains(mark));
    }
}

#[test]
fn a_window_leaves_out_the_rest_and_says_so() {
    let (all, _) = draw(STORY, Window::ALL);
    let (part, _) = draw(STORY, Window { from_ms: 2_000, to_ms: 2_500 });
    assert!(part.len() < all.len() / 2, "{} of {}", part.len(), all.len());
    assert_eq!(field(&part, "window"), "[2000,2500]");
    assert!(field(&part, "cut").contains("from 2.000 s to 2.500 s of 6.000 s"));
    assert_eq!(field(&part, "story"), field(&all, "story"), "the list of what happened is whole");
}

#[test]
fn violations_are_shown_where_and_when_they_were_seen() {
    let plan = Plan::calm(1, 4, 1_000);
    let recorder = Recorder::new(&plan, Window::ALL);
    let mut report = World::new(plan).run();
    let seat = Some(anfs_primitives::SeatIndex(2));
    let text = "two </script> blocks".to_owned();
    report.violations = vec![Violation { at_ms: 777, seat, rule: Rule::Agreement, text }];
    let failures = [report.violations[0].to_string(), "line 3: it is not so".to_owned()];
    let html = recorder.into_html("x", &report, &failures);
    assert_eq!(field(&html, "violationsAll"), "2");
    assert_eq!(
        field(&html, "violations"),
        r#"[[777,"agreement","SV2: two \u003c/script\u003e blocks"],[1000,"not as expected","line 3: it is not so"]]"#
    );
    assert!(field(&html, "marks").contains("[12,2,777,"));
}

/// However much happens, the page stays within some megabytes.
#[test]
fn the_page_is_bounded() {
    let plan = Plan::calm(1, 10, 1_000);
    let seen: Rc<RefCell<Vec<(u64, TraceEvent)>>> = Rc::default();
    let mut world = World::new(plan.clone());
    world.observe(Box::new(Keep(Rc::clone(&seen))));
    let report = world.run();
    let mut recorder = Recorder::new(&plan, Window::ALL);
    for round in 0..400 {
        for (at_ms, event) in seen.borrow().iter() {
            recorder.on(round * 1_000 + at_ms, event);
        }
    }
    let full = recorder.full_at_ms().expect("400 seconds of a shard of ten do not fit");
    let html = recorder.into_html("x", &report, &[]);
    assert!(html.len() < 8 << 20, "{} bytes", html.len());
    assert!(full > 20_000, "{full}");
    assert!(field(&html, "cut").contains("--from"));
}

/// Keeps everything, to be told again.
struct Keep(Rc<RefCell<Vec<(u64, TraceEvent)>>>);

impl Observer for Keep {
    fn on(&mut self, at_ms: u64, event: &TraceEvent) {
        self.0.borrow_mut().push((at_ms, event.clone()));
    }
}
