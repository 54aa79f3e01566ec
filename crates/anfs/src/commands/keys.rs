//! `anfs keys`: the signing keys of validators, in encrypted files (EIP-2335).

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use alloy_primitives::hex;
use anfs_crypto::bls::SecretKey;
use anfs_crypto::keystore::{KEYSTORE_BYTES_MAX, Keystore, KeystoreEntropy, ScryptParams};
use eyre::{WrapErr, eyre};
use rand::TryRngCore;
use rand::rngs::OsRng;
use serde_json::json;
use zeroize::Zeroizing;

use crate::cli::{ExportArgs, GenerateArgs, InspectArgs, KeysCommand, PasswordArgs};
use crate::exit::CommandError;
use crate::keystores::write_new;
use crate::output::Output;
use crate::password::{self, NEW_PASSWORD_ENV, PASSWORD_ENV};
use crate::sheet::Sheet;
use crate::terminal::Style;

pub(crate) fn run(command: KeysCommand, out: Output) -> Result<(), CommandError> {
    match command {
        KeysCommand::Generate(args) => generate(&args, out),
        KeysCommand::Inspect(args) => inspect(&args, out),
        KeysCommand::Export(args) => export(&args, out),
        KeysCommand::ChangePassword(args) => change_password(&args, out),
    }
}

fn generate(args: &GenerateArgs, out: Output) -> Result<(), CommandError> {
    if args.file.exists() {
        return Err(CommandError::failed(format!(
            "{} exists, and keys are never overwritten: choose another file",
            args.file.display()
        )));
    }
    let password = password::chosen(&args.file.display().to_string(), PASSWORD_ENV)?;
    let material = Zeroizing::new(random::<32>()?);
    let secret = SecretKey::key_gen(material.as_slice()).wrap_err("cannot make a key")?;
    let keystore = encrypt(&secret, &password, args.light)?;
    write_new(&args.file, &keystore.to_json())
        .wrap_err_with(|| format!("cannot write {}", args.file.display()))?;
    print_key(&args.file, &keystore, Some(&secret), out)
}

fn inspect(args: &InspectArgs, out: Output) -> Result<(), CommandError> {
    let keystore = read(&args.file)?;
    let secret = if args.unlock { Some(unlock(&args.file, &keystore)?) } else { None };
    print_key(&args.file, &keystore, secret.as_ref(), out)
}

fn export(args: &ExportArgs, out: Output) -> Result<(), CommandError> {
    let keystore = read(&args.file)?;
    let secret = unlock(&args.file, &keystore)?;
    let text = Zeroizing::new(hex::encode_prefixed(secret.to_bytes().as_slice()));
    out.print(&json!({ "secretKey": text.as_str() }), || text.to_string())
}

fn change_password(args: &PasswordArgs, out: Output) -> Result<(), CommandError> {
    let before = read(&args.file)?;
    let secret = unlock(&args.file, &before)?;
    let password = password::chosen(&args.file.display().to_string(), NEW_PASSWORD_ENV)?;
    let keystore = encrypt(&secret, &password, args.light)?;
    // The new file is whole and on the disk before it takes the old one's place.
    let mut draft = args.file.clone().into_os_string();
    draft.push(format!(".{}", std::process::id()));
    let draft = Path::new(&draft);
    let replaced = write_new(draft, &keystore.to_json()).and_then(|()| fs::rename(draft, &args.file));
    if let Err(error) = replaced {
        let _ = fs::remove_file(draft);
        return Err(eyre!("cannot replace {}: {error}", args.file.display()).into());
    }
    print_key(&args.file, &keystore, None, out)
}

fn random<const N: usize>() -> Result<[u8; N], CommandError> {
    let mut bytes = [0; N];
    OsRng.try_fill_bytes(&mut bytes).wrap_err("the system gives no randomness")?;
    Ok(bytes)
}

fn encrypt(secret: &SecretKey, password: &str, light: bool) -> Result<Keystore, CommandError> {
    let cost = if light { ScryptParams::LIGHT } else { ScryptParams::STANDARD };
    let entropy = KeystoreEntropy { salt: random()?, iv: random()?, uuid: random()? };
    Ok(Keystore::encrypt(secret, password, cost, &entropy).wrap_err("cannot encrypt the key")?)
}

fn read(file: &Path) -> Result<Keystore, CommandError> {
    let mut text = String::new();
    File::open(file)
        .and_then(|opened| opened.take(KEYSTORE_BYTES_MAX as u64 + 1).read_to_string(&mut text))
        .wrap_err_with(|| format!("cannot read {}", file.display()))?;
    Ok(Keystore::from_json(&text).wrap_err_with(|| format!("{} is no key file", file.display()))?)
}

fn unlock(file: &Path, keystore: &Keystore) -> Result<SecretKey, CommandError> {
    let password = password::current(&file.display().to_string())?;
    Ok(keystore.decrypt(&password).wrap_err_with(|| format!("cannot open {}", file.display()))?)
}

fn print_key(
    file: &Path,
    keystore: &Keystore,
    secret: Option<&SecretKey>,
    out: Output,
) -> Result<(), CommandError> {
    let file = file.display().to_string();
    let public = keystore.public_key().map(|key| key.to_string());
    let possession = secret.map(|secret| secret.prove_possession().to_string());
    let value = json!({
        "file": file,
        "uuid": keystore.uuid(),
        "publicKey": public,
        "proofOfPossession": possession,
    });
    out.print(&value, || {
        let mut sheet = Sheet::new(Style::stdout());
        sheet.heading("Validator key");
        sheet.field("file", &file);
        sheet.field("uuid", keystore.uuid());
        sheet.field("public key", public.as_deref().unwrap_or("(of another network's kind)"));
        if let Some(possession) = &possession {
            sheet.field("possession", possession);
        }
        sheet.finish()
    })
}
