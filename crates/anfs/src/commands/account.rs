//! `anfs account`: accounts in encrypted files, balances and nonces.

use std::path::Path;

use alloy_primitives::{Address, U64, U256};
use alloy_signer_local::PrivateKeySigner;
use serde_json::json;

use crate::amount::amount_text;
use crate::cli::{AccountCommand, ImportArgs, StateArgs};
use crate::client::Client;
use crate::exit::CommandError;
use crate::keystores::{Account, Keystores, decrypt};
use crate::output::Output;
use crate::parse::AccountName;
use crate::password::{self, PASSWORD_ENV};
use crate::sheet::{Sheet, grouped};
use crate::terminal::Style;

pub(crate) fn run(command: AccountCommand, out: Output) -> Result<(), CommandError> {
    match command {
        AccountCommand::New { name } => new(&name, out),
        AccountCommand::List => list(out),
        AccountCommand::Balance(args) => balance(&args, out),
        AccountCommand::Nonce(args) => nonce(&args, out),
        AccountCommand::Import(args) => import(&args, out),
    }
}

/// Reads a private key from the words of a person; the words are never repeated.
pub(crate) fn parse_key(text: &str) -> Result<PrivateKeySigner, CommandError> {
    text.trim().parse().map_err(|_| {
        CommandError::Usage(
            "this is no private key: it is 32 bytes of hex, of which some are not valid".to_owned(),
        )
    })
}

fn new(name: &AccountName, out: Output) -> Result<(), CommandError> {
    let keystores = Keystores::of_user()?;
    keystores.check_free(name)?;
    let password = password::chosen(&format!("account {:?}", name.as_str()), PASSWORD_ENV)?;
    let key = PrivateKeySigner::random();
    let path = keystores.save(name, &key, &password)?;
    print_saved(name, key.address(), &path, out)
}

fn import(args: &ImportArgs, out: Output) -> Result<(), CommandError> {
    let keystores = Keystores::of_user()?;
    keystores.check_free(&args.name)?;
    let (key, password) = match (&args.keystore, &args.private_key) {
        (Some(file), _) => {
            let password = password::current(&file.display().to_string())?;
            (decrypt(file, &password)?, password)
        }
        (None, given) => {
            let key = match given {
                Some(secret) => parse_key(secret.reveal())?,
                None => parse_key(&password::private_key()?)?,
            };
            (key, password::chosen(&format!("account {:?}", args.name.as_str()), PASSWORD_ENV)?)
        }
    };
    let path = keystores.save(&args.name, &key, &password)?;
    print_saved(&args.name, key.address(), &path, out)
}

fn print_saved(name: &AccountName, address: Address, path: &Path, out: Output) -> Result<(), CommandError> {
    let file = path.display().to_string();
    let value = json!({ "name": name.as_str(), "address": address.to_checksum(None), "file": file });
    out.print(&value, || {
        let mut sheet = Sheet::new(Style::stdout());
        sheet.heading(&format!("Account {}", name.as_str()));
        sheet.field("address", address.to_checksum(None));
        sheet.field("file", &file);
        sheet.line("  Keep a copy of the file and the password: nobody can restore either.");
        sheet.finish()
    })
}

fn list(out: Output) -> Result<(), CommandError> {
    let accounts = Keystores::of_user()?.list()?;
    let address = |account: &Account| account.address.map(|address| address.to_checksum(None));
    let value: Vec<_> =
        accounts.iter().map(|account| json!({ "name": account.name, "address": address(account) })).collect();
    out.print(&value, || {
        if accounts.is_empty() {
            return "No accounts yet: `anfs account new NAME` makes one.".to_owned();
        }
        let rows: Vec<Vec<String>> = accounts
            .iter()
            .map(|account| {
                vec![account.name.clone(), address(account).unwrap_or_else(|| "(not in the file)".to_owned())]
            })
            .collect();
        let mut sheet = Sheet::new(Style::stdout());
        sheet.table(&["name", "address"], &rows);
        sheet.finish()
    })
}

fn balance(args: &StateArgs, out: Output) -> Result<(), CommandError> {
    let address = Keystores::of_user()?.address(&args.who)?;
    let client = Client::new(args.rpc.url())?;
    let wei: U256 = client.call("eth_getBalance", json!([address, args.block.parameter()]))?;
    let value = json!({
        "address": address.to_checksum(None),
        "block": args.block.to_string(),
        "wei": wei.to_string(),
        "text": amount_text(wei),
    });
    out.print(&value, || amount_text(wei))
}

fn nonce(args: &StateArgs, out: Output) -> Result<(), CommandError> {
    let address = Keystores::of_user()?.address(&args.who)?;
    let client = Client::new(args.rpc.url())?;
    let nonce: U64 = client.call("eth_getTransactionCount", json!([address, args.block.parameter()]))?;
    let nonce = nonce.to::<u64>();
    let value =
        json!({ "address": address.to_checksum(None), "block": args.block.to_string(), "nonce": nonce });
    out.print(&value, || grouped(nonce))
}
