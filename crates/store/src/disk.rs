//! The file operations that the logs need, and nothing more, behind a trait: recovery is tested by failing
//! and cutting every one of them.

use std::fmt::Debug;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

/// An open file with positional access, shared by readers and the one writer.
pub trait DiskFile: Debug + Send + Sync {
    /// Its length in bytes.
    ///
    /// # Errors
    /// Whatever the system reports.
    fn len(&self) -> io::Result<u64>;

    /// Whether it holds no byte.
    ///
    /// # Errors
    /// Whatever the system reports.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Fills `buffer` from `offset` on.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] past the end, or whatever the system reports.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;

    /// Writes all of `bytes` at `offset`. After an error any part of them may have been written.
    ///
    /// # Errors
    /// Whatever the system reports.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Cuts or extends (with zeroes) the file.
    ///
    /// # Errors
    /// Whatever the system reports.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Returns when content and length are on the medium. After an error nothing is known of what was
    /// written since the last success, and trying again proves nothing.
    ///
    /// # Errors
    /// Whatever the system reports.
    fn sync(&self) -> io::Result<()>;
}

/// The directory operations.
pub trait Disk: Debug + Send + Sync {
    /// Creates a directory and its missing parents.
    ///
    /// # Errors
    /// Whatever the system reports.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;

    /// Names of the files in a directory, in no particular order.
    ///
    /// # Errors
    /// Whatever the system reports.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// Opens a file for reading and writing.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] when it is missing, or whatever the system reports.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;

    /// Creates an empty file for reading and writing, or empties the one there.
    ///
    /// # Errors
    /// Whatever the system reports.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;

    /// Moves a file over another in one step.
    ///
    /// # Errors
    /// Whatever the system reports.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// Whatever the system reports.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Returns when the directory's entries are on the medium.
    ///
    /// # Errors
    /// Whatever the system reports.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
}

/// The machine's own file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemDisk;

impl Disk for SystemDisk {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(dir)? {
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(OpenOptions::new().read(true).write(true).open(path)?))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
        Ok(Arc::new(file))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }
}

impl DiskFile for File {
    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        FileExt::read_exact_at(self, buffer, offset)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        FileExt::write_all_at(self, bytes, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        Self::set_len(self, len)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}
