//! The flags of `anfs call`, `anfs block` and `anfs tx`.

use alloy_primitives::{Address, B256};
use clap::Args;

use super::RpcArgs;
use crate::amount::Amount;
use crate::parse::{BlockRef, Who, address};

/// See `anfs call --help`.
#[derive(Debug, Args)]
pub(crate) struct CallArgs {
    /// The contract: an address, or the name of an account on this machine.
    pub(crate) to: Who,
    /// Function with what it takes and returns, such as 'balanceOf(address)(uint256)'.
    pub(crate) sig: String,
    /// Arguments of the function.
    #[arg(allow_negative_numbers = true)]
    pub(crate) args: Vec<String>,
    /// Call as this address.
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    pub(crate) from: Option<Address>,
    /// Call with this value, such as 1.5afs.
    #[arg(long, value_name = "AMOUNT")]
    pub(crate) value: Option<Amount>,
    /// State to call on: block number, hash or tag.
    #[arg(long, default_value = "latest")]
    pub(crate) block: BlockRef,
    #[command(flatten)]
    pub(crate) rpc: RpcArgs,
}

/// See `anfs block --help`.
#[derive(Debug, Args)]
pub(crate) struct BlockArgs {
    /// Number, hash, or one of latest, safe, finalized, pending, earliest.
    #[arg(default_value = "latest")]
    pub(crate) block: BlockRef,
    /// Show every transaction with sender, recipient and value.
    #[arg(long)]
    pub(crate) full: bool,
    #[command(flatten)]
    pub(crate) rpc: RpcArgs,
}

/// See `anfs tx --help`.
#[derive(Debug, Args)]
pub(crate) struct TxArgs {
    /// Hash of the transaction.
    pub(crate) hash: B256,
    /// Execute it again and draw the tree of its calls.
    #[arg(long)]
    pub(crate) trace: bool,
    #[command(flatten)]
    pub(crate) rpc: RpcArgs,
}
