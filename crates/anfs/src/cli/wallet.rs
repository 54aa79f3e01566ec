//! The flags of `anfs account` and `anfs send`.

use std::path::PathBuf;

use alloy_primitives::{Address, Bytes};
use clap::{Args, Subcommand};

use super::RpcArgs;
use crate::amount::Amount;
use crate::parse::{AccountName, BlockRef, Secret, Who, address};

/// See `anfs account --help`.
#[derive(Debug, Subcommand)]
pub(crate) enum AccountCommand {
    /// Make an account and keep its key in an encrypted file.
    New {
        /// Name of the account: letters, digits, `-`, `_` and `.`.
        name: AccountName,
    },
    /// List the accounts that are kept on this machine.
    List,
    /// Show a balance.
    Balance(StateArgs),
    /// Show how many transactions an account has sent.
    Nonce(StateArgs),
    /// Keep a key that exists already in an encrypted file.
    Import(ImportArgs),
}

/// Whose state, and when.
#[derive(Debug, Args)]
pub(crate) struct StateArgs {
    /// Address, or name of an account on this machine.
    pub(crate) who: Who,
    /// Block number, hash or tag.
    #[arg(long, default_value = "latest")]
    pub(crate) block: BlockRef,
    #[command(flatten)]
    pub(crate) rpc: RpcArgs,
}

/// See `anfs account import --help`.
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// Name of the account: letters, digits, `-`, `_` and `.`.
    pub(crate) name: AccountName,
    /// Private key, 32 bytes of hex. Without this flag it is asked for, or read from standard input, which
    /// keeps it out of the shell's history.
    #[arg(long, value_name = "KEY", conflicts_with = "keystore")]
    pub(crate) private_key: Option<Secret>,
    /// Encrypted key file of another wallet (V3 JSON); its password becomes the account's.
    #[arg(long, value_name = "FILE")]
    pub(crate) keystore: Option<PathBuf>,
}

/// See `anfs send --help`.
#[derive(Debug, Args)]
pub(crate) struct SendArgs {
    /// Address, or name of an account on this machine.
    #[arg(required_unless_present = "create", conflicts_with = "create")]
    pub(crate) to: Option<Who>,
    /// What to send: 5, 5wei, 20gwei, 1.5afs or 1.5ether; a plain number is in wei.
    #[arg(default_value = "0")]
    pub(crate) value: Amount,
    /// Arguments of the function named by --sig.
    #[arg(requires = "sig", allow_negative_numbers = true)]
    pub(crate) args: Vec<String>,
    /// Deploy a contract: --data is its creation code.
    #[arg(long, requires = "data")]
    pub(crate) create: bool,
    /// Input data, as hex.
    #[arg(long, value_name = "HEX", conflicts_with = "sig")]
    pub(crate) data: Option<Bytes>,
    /// Function to call, such as 'transfer(address,uint256)'.
    #[arg(long, value_name = "SIGNATURE")]
    pub(crate) sig: Option<String>,
    #[command(flatten)]
    pub(crate) signer: SignerArgs,
    /// Nonce [default: the account's next].
    #[arg(long)]
    pub(crate) nonce: Option<u64>,
    /// Gas that the transaction may use [default: the node's estimate].
    #[arg(long)]
    pub(crate) gas_limit: Option<u64>,
    /// Most to pay for a unit of gas, such as 2gwei [default: twice the base fee, plus the tip].
    #[arg(long, value_name = "AMOUNT")]
    pub(crate) max_fee: Option<Amount>,
    /// Tip for a unit of gas [default: what the node suggests].
    #[arg(long, value_name = "AMOUNT")]
    pub(crate) priority_fee: Option<Amount>,
    /// Print the hash and do not wait for the receipt.
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// Seconds to wait for the receipt.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub(crate) timeout: u64,
    #[command(flatten)]
    pub(crate) rpc: RpcArgs,
}

/// Who signs: exactly one of these.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct SignerArgs {
    /// Sign with this account of this machine; the password is asked for, or taken from ANFS_PASSWORD.
    #[arg(long, value_name = "NAME")]
    pub(crate) account: Option<AccountName>,
    /// Sign with this encrypted key file; the password is asked for, or taken from ANFS_PASSWORD.
    #[arg(long, value_name = "FILE")]
    pub(crate) keystore: Option<PathBuf>,
    /// Sign with this key. Others on this machine may see it: for test networks only.
    #[arg(long, value_name = "KEY")]
    pub(crate) private_key: Option<Secret>,
    /// Let the node sign for an account that it holds unlocked, as a devnet does.
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    pub(crate) from: Option<Address>,
}
