//! `anfs record`: what a seat has signed, carried to where it goes on, and seats without it let go.

use std::path::{Path, PathBuf};

use anfs_node::record::{Imported, RecordSummary, SeatRecord, read_file};
use anfs_primitives::SeatIndex;
use anfs_rpc::SeatReport;
use eyre::WrapErr;
use serde_json::json;

use crate::cli::{RecordCommand, RecordExportArgs, RecordImportArgs, RecordPlace, ReleaseArgs};
use crate::client::Client;
use crate::exit::CommandError;
use crate::folders;
use crate::keystores::write_new;
use crate::output::Output;
use crate::sheet::Sheet;
use crate::terminal::Style;

/// What `release` asks to be sure of.
const RELEASE_WARNING: &str = "\
a seat that signs without its record may contradict what it has signed before: that is evidence against it, and \
with more than f such seats two chains can be decided. Be sure that no other process signs with its key, and that \
what it may have signed no longer matters (every seat stopped, or the chain long past it); else import its record \
(`anfs record import`) or let it watch the chain. Say so with --yes";

pub(crate) fn run(command: &RecordCommand, out: Output) -> Result<(), CommandError> {
    match command {
        RecordCommand::Export(args) => export(args, out),
        RecordCommand::Import(args) => import(args, out),
        RecordCommand::Release(args) => release(args, out),
    }
}

impl RecordPlace {
    fn root(&self) -> Result<PathBuf, CommandError> {
        match &self.data_dir {
            Some(dir) => Ok(dir.clone()),
            None => folders::user_data("devnet", "give --data-dir DIR"),
        }
    }

    fn seat(&self) -> SeatIndex {
        SeatIndex(self.seat)
    }
}

fn export(args: &RecordExportArgs, out: Output) -> Result<(), CommandError> {
    let (root, seat) = (args.place.root()?, args.place.seat());
    let file = args.out.clone().unwrap_or_else(|| format!("seat-{seat}.record.json").into());
    let mut record = SeatRecord::open(&root, seat)?;
    let text = record.export()?;
    // The file is on the disk before the folder loses its say.
    write_new(&file, &text).wrap_err_with(|| {
        format!("cannot write {}: choose a new file with --out; nothing was changed", file.display())
    })?;
    if !args.keep {
        record.retire()?;
    }
    let summary = record.summary();
    let value = json!({ "file": file, "retired": !args.keep, "record": summary });
    out.print(&value, || {
        let mut sheet = Sheet::new(Style::stdout());
        sheet.heading(&format!("Signing record of seat {seat}"));
        describe(&mut sheet, &file, &summary);
        let next = if args.keep {
            "The seat may go on here; from then on this file is out of date and must not be imported anywhere."
        } else {
            "Retired here: started from this folder, the seat signs nothing. Import the file where it is to go on, once."
        };
        sheet.line("");
        sheet.line(next);
        sheet.finish()
    })
}

fn import(args: &RecordImportArgs, out: Output) -> Result<(), CommandError> {
    let (root, seat) = (args.place.root()?, args.place.seat());
    // Read first: a file that is not there must not leave a folder behind.
    let text = read_file(&args.file).map_err(anfs_node::NodeError::from)?;
    let done = SeatRecord::open_or_begin(&root, seat)?.import(&args.file, &text)?;
    let value = json!({ "file": args.file, "import": done });
    out.print(&value, || show_import(&args.file, &done))
}

fn show_import(file: &Path, done: &Imported) -> String {
    let mut sheet = Sheet::new(Style::stdout());
    sheet.heading(&format!("Signing record of seat {}", done.record.seat));
    describe(&mut sheet, file, &done.record);
    sheet.line("");
    if done.changed {
        sheet.line("Imported: the seat signs from this folder.");
    } else {
        sheet.line("The folder held all of it already.");
    }
    if done.decided < done.record.floor {
        let (decided, floor) = (done.decided, done.record.floor);
        sheet.line(&format!(
            "{decided} blocks are decided here: the seat signs once it has caught up to {floor}."
        ));
    }
    if !done.contradictions.is_empty() {
        let places: Vec<String> =
            done.contradictions.iter().map(|(height, view)| format!("{height} in view {view}")).collect();
        let words = format!(
            "Two processes have signed with this key: there are votes for different blocks at height {}.",
            places.join(", ")
        );
        sheet.line(&Style::stdout().red(&words));
    }
    sheet.finish()
}

fn describe(sheet: &mut Sheet, file: &Path, record: &RecordSummary) {
    sheet.field("file", file.display().to_string());
    sheet.field("public key", record.public_key.to_string());
    sheet.field("floor", format!("height {}: nothing is signed at or below it", record.floor));
    sheet.field("promised", format!("view {}: nothing is signed in a lower one", record.promised_view));
    sheet.field("above it", format!("{} votes, {} blocks", record.votes, record.blocks));
}

fn release(args: &ReleaseArgs, out: Output) -> Result<(), CommandError> {
    if !args.yes {
        return Err(CommandError::Usage(RELEASE_WARNING.to_owned()));
    }
    let client = Client::new(args.rpc.url())?;
    let mut seats: Vec<SeatReport> = client.call("devnet_seats", json!([]))?;
    let chosen: Vec<SeatIndex> = if args.all {
        seats.iter().filter(|seat| seat.held).map(|seat| seat.seat).collect()
    } else {
        args.seat.iter().copied().map(SeatIndex).collect()
    };
    let was_held = |seat: &&SeatIndex| seats.iter().any(|report| report.seat == **seat && report.held);
    let released: Vec<SeatIndex> = chosen.iter().filter(was_held).copied().collect();
    for seat in &chosen {
        seats = client.call("devnet_releaseSeat", json!([seat]))?;
    }
    out.print(&json!({ "released": released, "seats": seats }), || match released.as_slice() {
        [] => "none of them was held back".to_owned(),
        some => {
            let names: Vec<String> = some.iter().map(ToString::to_string).collect();
            format!("released, and signing: seat {}", names.join(", "))
        }
    })
}

#[cfg(test)]
mod tests {
    use anfs_primitives::{BlsPublicKey, Height, View};

    use super::*;

    #[test]
    fn what_an_import_leaves_open_is_said() {
        let record = RecordSummary {
            seat: SeatIndex(2),
            public_key: BlsPublicKey::ZERO,
            floor: Height(9),
            promised_view: View(3),
            highest_view: View(3),
            votes: 2,
            blocks: 1,
        };
        let mut done = Imported { record, changed: true, decided: Height(9), contradictions: Vec::new() };
        let file = Path::new("a.json");
        let text = show_import(file, &done);
        assert!(text.contains("signs from this folder") && !text.contains("caught up"), "{text}");
        done.decided = Height(4);
        done.changed = false;
        done.contradictions.push((Height(10), View(3)));
        let text = show_import(file, &done);
        for words in ["held all of it", "caught up to 9", "height 10 in view 3"] {
            assert!(text.contains(words), "{words}: {text}");
        }
    }
}
