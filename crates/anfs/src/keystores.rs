//! The user's accounts: one encrypted file a key (V3 JSON, as Ethereum wallets write it), in a folder that only
//! the user may open.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use alloy_primitives::{Address, hex};
use alloy_signer::k256::elliptic_curve::rand_core::OsRng;
use alloy_signer_local::PrivateKeySigner;
use eyre::{WrapErr, eyre};
use serde_json::{Value, json};

use crate::exit::CommandError;
use crate::folders;
use crate::parse::{AccountName, Who};

/// Largest key file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 16 * 1024;
/// Memory that opening a file may take at most, in bytes.
const SCRYPT_BYTES_MAX: u64 = 1 << 30;
const PBKDF2_ROUNDS_MAX: u64 = 1 << 24;

/// The folder of the user's accounts.
#[derive(Debug)]
pub(crate) struct Keystores {
    dir: PathBuf,
}

/// An account of the folder.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) name: String,
    /// `None` when the file does not say, as the standard allows.
    pub(crate) address: Option<Address>,
}

impl Keystores {
    /// The folder, which need not be there yet.
    pub(crate) fn of_user() -> Result<Self, CommandError> {
        Ok(Self { dir: folders::user_data("keystore", "set HOME, or XDG_DATA_HOME to a folder of yours")? })
    }

    /// The file of an account.
    pub(crate) fn path(&self, name: &AccountName) -> PathBuf {
        self.dir.join(name.as_str())
    }

    /// The file of an account that is there.
    pub(crate) fn existing(&self, name: &AccountName) -> Result<PathBuf, CommandError> {
        let path = self.path(name);
        if path.is_file() {
            return Ok(path);
        }
        Err(CommandError::Usage(format!(
            "there is no account {:?} on this machine: `anfs account list` shows those that are, `anfs account new` \
             makes one",
            name.as_str()
        )))
    }

    /// The address that is meant.
    pub(crate) fn address(&self, who: &Who) -> Result<Address, CommandError> {
        let name = match who {
            Who::Address(address) => return Ok(*address),
            Who::Name(name) => name,
        };
        let path = self.existing(name)?;
        stored_address(&read(&path)?).ok_or_else(|| {
            CommandError::failed(format!("{} does not say its address: give the address", path.display()))
        })
    }

    /// Every account, by name.
    pub(crate) fn list(&self) -> Result<Vec<Account>, CommandError> {
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(folder_error(&self.dir, &error)),
        };
        let mut accounts = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| folder_error(&self.dir, &error))?;
            // Whatever else lies in the folder is none of ours.
            let Some(name) = entry.file_name().to_str().and_then(|name| name.parse::<AccountName>().ok())
            else {
                continue;
            };
            if let Ok(file) = read(&self.path(&name)) {
                accounts.push(Account { name: name.as_str().to_owned(), address: stored_address(&file) });
            }
        }
        accounts.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(accounts)
    }

    /// Refuses a name that is taken, before a password is asked for.
    pub(crate) fn check_free(&self, name: &AccountName) -> Result<(), CommandError> {
        if self.path(name).exists() {
            return Err(CommandError::failed(format!(
                "the account {:?} exists ({}): choose another name",
                name.as_str(),
                self.path(name).display()
            )));
        }
        Ok(())
    }

    /// Encrypts a key and keeps it; an account that exists is never overwritten.
    pub(crate) fn save(
        &self,
        name: &AccountName,
        key: &PrivateKeySigner,
        password: &str,
    ) -> Result<PathBuf, CommandError> {
        self.check_free(name)?;
        create_private_folder(&self.dir).map_err(|error| folder_error(&self.dir, &error))?;
        // The encryption writes a file of its own; it becomes the account once its address stands in it.
        let draft_name = format!(".{}.{}", name.as_str(), std::process::id());
        let draft = self.dir.join(&draft_name);
        let written = PrivateKeySigner::encrypt_keystore(
            &self.dir,
            &mut OsRng,
            key.to_bytes(),
            password.as_bytes(),
            Some(&draft_name),
        );
        let file = written
            .map_err(|error| CommandError::failed(format!("cannot encrypt the key: {error}")))
            .and_then(|_| read(&draft));
        let removed = fs::remove_file(&draft);
        let mut file = file?;
        removed.map_err(|error| folder_error(&draft, &error))?;
        file["address"] = json!(hex::encode(key.address()));
        let path = self.path(name);
        write_new(&path, &file.to_string()).map_err(|error| folder_error(&path, &error))?;
        Ok(path)
    }
}

/// Opens an encrypted key file.
pub(crate) fn decrypt(path: &Path, password: &str) -> Result<PrivateKeySigner, CommandError> {
    let file = read(path)?;
    check_format(&file)
        .map_err(|why| CommandError::failed(format!("{} is no V3 key file: {why}", path.display())))?;
    let key = PrivateKeySigner::decrypt_keystore(path, password.as_bytes()).map_err(|error| {
        CommandError::failed(format!("cannot open {}: the password is wrong ({error})", path.display()))
    })?;
    match stored_address(&file) {
        Some(address) if address != key.address() => Err(CommandError::failed(format!(
            "{} holds the key of {}, but says it is {address}: do not use it",
            path.display(),
            key.address()
        ))),
        _ => Ok(key),
    }
}

/// Writes a file that only the user may read and that was not there before, down to the disk.
pub(crate) fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn create_private_folder(dir: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

fn folder_error(path: &Path, error: &io::Error) -> CommandError {
    CommandError::Folder(format!("cannot use {}: {error}", path.display()))
}

fn read(path: &Path) -> Result<Value, CommandError> {
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text))
        .wrap_err_with(|| format!("cannot read {}", path.display()))?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(eyre!("{} is too large for a key file", path.display()).into());
    }
    Ok(serde_json::from_str(&text).wrap_err_with(|| format!("{} is no JSON", path.display()))?)
}

fn stored_address(file: &Value) -> Option<Address> {
    file["address"].as_str()?.parse().ok()
}

/// Bounds what opening the file costs, and refuses lengths that no good file has.
fn check_format(file: &Value) -> Result<(), String> {
    if file["version"] != 3 {
        return Err(format!("its version is {}, not 3", file["version"]));
    }
    let crypto = &file["crypto"];
    if crypto["cipher"] != "aes-128-ctr" {
        return Err(format!("the cipher {} is not supported; aes-128-ctr is", crypto["cipher"]));
    }
    let bytes =
        |value: &Value| value.as_str().and_then(|text| hex::decode(text).ok()).map(|bytes| bytes.len());
    if bytes(&crypto["cipherparams"]["iv"]) != Some(16) || bytes(&crypto["ciphertext"]) != Some(32) {
        return Err("its ciphertext or iv has a wrong length".to_owned());
    }
    let params = &crypto["kdfparams"];
    let number = |name: &str| params[name].as_u64().ok_or_else(|| format!("kdfparams.{name} is missing"));
    if number("dklen")? != 32 {
        return Err("kdfparams.dklen is not 32".to_owned());
    }
    let bounded = match crypto["kdf"].as_str() {
        Some("scrypt") => {
            let (n, r, p) = (number("n")?, number("r")?, number("p")?);
            let memory = n.checked_mul(r).and_then(|blocks| blocks.checked_mul(128));
            n >= 2
                && n.is_power_of_two()
                && (1..=64).contains(&r)
                && (1..=16).contains(&p)
                && memory.is_some_and(|bytes| bytes <= SCRYPT_BYTES_MAX)
        }
        Some("pbkdf2") => (1..=PBKDF2_ROUNDS_MAX).contains(&number("c")?) && params["prf"] == "hmac-sha256",
        _ => return Err(format!("the key derivation {} is not supported", crypto["kdf"])),
    };
    if bounded { Ok(()) } else { Err("the cost of its key derivation is out of bounds".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> (tempfile::TempDir, Keystores) {
        let temporary = tempfile::tempdir().unwrap();
        let keystores = Keystores { dir: temporary.path().join("keystore") };
        (temporary, keystores)
    }

    fn name(text: &str) -> AccountName {
        text.parse().unwrap()
    }

    #[test]
    fn an_account_opens_with_its_password_only() {
        let (_temporary, keystores) = folder();
        assert_eq!(keystores.list().unwrap(), []);
        let key = PrivateKeySigner::random();
        let path = keystores.save(&name("me"), &key, "secret").unwrap();
        assert_eq!(decrypt(&path, "secret").unwrap().address(), key.address());
        assert!(decrypt(&path, "other").unwrap_err().to_string().contains("password"));
        let account = Account { name: "me".to_owned(), address: Some(key.address()) };
        assert_eq!(keystores.list().unwrap(), [account]);
        assert_eq!(keystores.address(&Who::Name(name("me"))).unwrap(), key.address());
        assert!(keystores.save(&name("me"), &key, "secret").is_err(), "nothing is overwritten");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no draft is left");
    }

    #[cfg(unix)]
    #[test]
    fn others_can_neither_read_nor_list() {
        use std::os::unix::fs::PermissionsExt;
        let (_temporary, keystores) = folder();
        let path = keystores.save(&name("me"), &PrivateKeySigner::random(), "secret").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(path.parent().unwrap()), 0o700);
    }

    #[test]
    fn files_that_ask_for_too_much_are_refused_unopened() {
        let (_temporary, keystores) = folder();
        let path = keystores.save(&name("me"), &PrivateKeySigner::random(), "secret").unwrap();
        let good = read(&path).unwrap();
        check_format(&good).unwrap();
        let refused = |pointer: &str, value: Value| {
            let mut bad = good.clone();
            *bad.pointer_mut(pointer).unwrap() = value;
            assert!(check_format(&bad).is_err(), "{pointer}");
            let file = path.with_file_name("bad");
            fs::write(&file, bad.to_string()).unwrap();
            assert!(decrypt(&file, "secret").is_err(), "{pointer}");
        };
        refused("/version", json!(4));
        refused("/crypto/cipher", json!("rot13"));
        refused("/crypto/cipherparams/iv", json!("00"));
        refused("/crypto/ciphertext", json!(""));
        refused("/crypto/kdf", json!("md5"));
        refused("/crypto/kdfparams/dklen", json!(16));
        refused("/crypto/kdfparams/n", json!(1u64 << 40));
        refused("/crypto/kdfparams/n", json!(3));
        refused("/crypto/kdfparams/r", json!(0));
    }

    #[test]
    fn a_file_that_names_another_address_is_refused() {
        let (_temporary, keystores) = folder();
        let path = keystores.save(&name("me"), &PrivateKeySigner::random(), "secret").unwrap();
        let mut file = read(&path).unwrap();
        file["address"] = json!(hex::encode(Address::ZERO));
        fs::write(&path, file.to_string()).unwrap();
        assert!(decrypt(&path, "secret").unwrap_err().to_string().contains("do not use it"));
    }
}
