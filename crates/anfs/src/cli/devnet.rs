//! The flags of `anfs devnet`.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use anfs_node::genesis::{DEFAULT_CHAIN_ID, DEFAULT_MNEMONIC};
use clap::{Args, Subcommand};

use super::DEFAULT_RPC_URL;

/// See `anfs devnet --help`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct DevnetArgs {
    /// What to do with a network that runs already.
    #[command(subcommand)]
    pub(crate) command: Option<DevnetCommand>,
    /// Shards of the network. Wallets see one chain, however many there are.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=16))]
    pub(crate) shards: u32,
    /// Verifiers of each shard: 1, 4, 7 or 10.
    #[arg(long, default_value = "4", value_parser = ["1", "4", "7", "10"])]
    pub(crate) verifiers: String,
    /// Port of HTTP and WebSocket; 0 lets the system choose.
    #[arg(long, short, default_value_t = 8545, env = "ANFS_PORT")]
    pub(crate) port: u16,
    /// Address to listen on. The unlocked accounts can be used by whoever reaches it.
    #[arg(long, default_value = "127.0.0.1")]
    pub(crate) host: IpAddr,
    /// Funded accounts.
    #[arg(long, short, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) accounts: u32,
    /// Balance of each account, in AFS.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) balance: u64,
    /// BIP-39 phrase that the accounts and the seats' keys are derived from.
    #[arg(long, short, default_value = DEFAULT_MNEMONIC, hide_default_value = true)]
    pub(crate) mnemonic: String,
    /// Chain id that wallets sign for.
    #[arg(long, default_value_t = DEFAULT_CHAIN_ID, value_parser = clap::value_parser!(u64).range(1..=u64::from(u32::MAX)))]
    pub(crate) chain_id: u64,
    /// Length of a slot in milliseconds: a block is made in each.
    #[arg(long, default_value_t = 250, value_parser = clap::value_parser!(u64).range(10..=60_000))]
    pub(crate) slot_ms: u64,
    /// Gas that a block may use.
    #[arg(long, default_value_t = 200_000_000, value_parser = clap::value_parser!(u64).range(5_000_000..=1 << 40))]
    pub(crate) gas_limit: u64,
    /// Verifiers of each shard that misbehave on purpose, with false alerts and silence: at most f of 3f + 1.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) byzantine: u16,
    /// Folder of the network; it is kept, and a later start goes on from it [default: the user's data folder].
    #[arg(long, env = "ANFS_DATA_DIR", conflicts_with = "ephemeral")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Keep nothing: use a temporary folder and remove it at the end.
    #[arg(long)]
    pub(crate) ephemeral: bool,
    /// Start anew: remove the network that the folder holds.
    #[arg(long)]
    pub(crate) reset: bool,
    /// Write accounts, keys and URLs to this file as JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) config_out: Option<PathBuf>,
    /// Print only errors.
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DevnetCommand {
    /// Stop, start and part the seats of a running devnet, and see how the shard takes it.
    Chaos(ChaosArgs),
}

/// See `anfs devnet chaos --help`.
#[derive(Debug, Args)]
pub(crate) struct ChaosArgs {
    /// What to break or mend.
    #[command(subcommand)]
    pub(crate) command: ChaosCommand,
    /// URL of the devnet's JSON-RPC port [default: http://127.0.0.1:8545].
    #[arg(long, value_name = "URL", env = "ANFS_RPC_URL", global = true)]
    pub(crate) rpc_url: Option<String>,
    /// The shard whose seats are meant, on a network of several [default: 1].
    #[arg(long, value_name = "N", global = true, value_parser = clap::value_parser!(u32).range(1..=4095))]
    pub(crate) shard: Option<u32>,
}

impl ChaosArgs {
    pub(crate) fn url(&self) -> String {
        let url = self.rpc_url.as_deref().unwrap_or(DEFAULT_RPC_URL);
        match self.shard {
            None => url.to_owned(),
            Some(shard) => format!("{}/shard/{shard}", url.trim_end_matches('/')),
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum ChaosCommand {
    /// Show all seats: which run, who acts as generator, how far each one is.
    Seats,
    /// Kill a seat without warning: what it had not written is lost.
    Kill {
        /// Index of the seat, or `acting` for the one that acts as generator now.
        #[arg(value_name = "SEAT", value_parser = parse_seat)]
        seat: SeatChoice,
    },
    /// Start a killed seat again from its folder.
    Start {
        /// Index of the seat.
        #[arg(value_name = "SEAT")]
        seat: u16,
    },
    /// Part seats from all the others: messages between the two sides are lost until `heal`.
    Cut {
        /// Indices of the seats of one side.
        #[arg(value_name = "SEAT", required = true, num_args = 1..)]
        seats: Vec<u16>,
    },
    /// Mend the network after `cut`.
    Heal,
    /// Kill, start, cut and heal at random for a while, never more verifiers than the shard must bear.
    Random {
        /// For how long: 30s, 5m.
        #[arg(long = "for", value_name = "TIME", default_value = "30s", value_parser = parse_time)]
        time: Duration,
        /// Number that the choices are drawn from [default: a new one each time].
        #[arg(long, value_name = "N")]
        seed: Option<u64>,
    },
}

/// A seat by its index or by what it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SeatChoice {
    Index(u16),
    Acting,
}

fn parse_seat(text: &str) -> Result<SeatChoice, String> {
    match text {
        "acting" => Ok(SeatChoice::Acting),
        index => {
            index.parse().map(SeatChoice::Index).map_err(|_| "give the index of a seat, or `acting`".into())
        }
    }
}

fn parse_time(text: &str) -> Result<Duration, String> {
    let wrong = || "give a time such as 30s, 1500ms or 5m".to_owned();
    let unit = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let millis = match unit {
        "ms" => Some(number),
        "s" => number.checked_mul(1000),
        "m" => number.checked_mul(60_000),
        _ => None,
    };
    // A day: whoever means more is likely to have mistyped.
    let millis = millis.filter(|millis| (1..=86_400_000).contains(millis));
    millis.map(Duration::from_millis).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_seats_are_read_as_people_write_them() {
        for (text, millis) in [("30s", 30_000), ("1500ms", 1500), ("2m", 120_000)] {
            assert_eq!(parse_time(text), Ok(Duration::from_millis(millis)));
        }
        for text in ["", "30", "s", "-1s", "0s", "9999999m", "1h"] {
            assert!(parse_time(text).is_err(), "{text:?}");
        }
        assert_eq!(parse_seat("acting"), Ok(SeatChoice::Acting));
        assert_eq!(parse_seat("3"), Ok(SeatChoice::Index(3)));
        assert!(parse_seat("generator").is_err());
    }
}
