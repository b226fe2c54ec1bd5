//! The files every server serves: generated once a run, the same for all, read again to check answers.

use std::fs::{self, File, Permissions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::Result;

/// When every file was last changed, and the same as a request's `If-Modified-Since` says it.
const MODIFIED: Duration = Duration::from_secs(1_704_067_200);
/// See [`MODIFIED`].
pub const MODIFIED_DATE: &str = "Mon, 01 Jan 2024 00:00:00 GMT";

/// Small files, spread over [`FOLDERS`] folders.
const SMALL_FILES: usize = 10_000;
const FOLDERS: usize = 100;
/// Smallest size in bytes; sizes run evenly from here to [`LARGEST`].
const SMALLEST: usize = 256;
const LARGEST: usize = 4096;

/// A file to ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The request target, with its slash.
    pub target: String,
    /// Bytes of the file.
    pub size: u64,
}

/// Which files a workload asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pages {
    /// One file of 1 KiB.
    Kibibyte,
    /// One file of 1 MiB.
    Mebibyte,
    /// One file of 100 MiB.
    HundredMebibytes,
    /// Ten thousand files of 256 bytes to 4 KiB.
    TenThousand,
}

/// The generated tree.
pub struct Tree {
    root: PathBuf,
}

impl Tree {
    /// Writes the tree into the new directory `root`, readable by every user.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn generate(root: PathBuf) -> Result<Self> {
        let tree = Self { root };
        make_folder(&tree.root)?;
        make_folder(&tree.root.join("files"))?;
        for folder in 0..FOLDERS {
            make_folder(&tree.root.join(format!("files/{folder:02}")))?;
        }
        for pages in [Pages::Kibibyte, Pages::Mebibyte, Pages::HundredMebibytes, Pages::TenThousand] {
            for (index, page) in tree.pages(pages).iter().enumerate() {
                write_page(&tree.path(page), page.size, index as u8)?;
            }
        }
        Ok(tree)
    }

    /// The directory that servers get as their root.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The files in question.
    pub fn pages(&self, pages: Pages) -> Vec<Page> {
        let one = |target: &str, size| vec![Page { target: target.to_owned(), size }];
        match pages {
            Pages::Kibibyte => one("/1k.txt", 1 << 10),
            Pages::Mebibyte => one("/1m.bin", 1 << 20),
            Pages::HundredMebibytes => one("/100m.bin", 100 << 20),
            Pages::TenThousand => (0..SMALL_FILES).map(small_page).collect(),
        }
    }

    /// Where a page lies.
    pub fn path(&self, page: &Page) -> PathBuf {
        self.root.join(page.target.trim_start_matches('/'))
    }
}

fn small_page(index: usize) -> Page {
    // 797 shares no factor with the span, so neighbours differ and all sizes occur.
    let size = SMALLEST + index * 797 % (LARGEST - SMALLEST + 1);
    Page { target: format!("/files/{:02}/{:02}.txt", index % FOLDERS, index / FOLDERS), size: size as u64 }
}

fn make_folder(path: &Path) -> Result<()> {
    fs::create_dir_all(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o755))?;
    Ok(())
}

/// Fills a file with text that differs from file to file and from block to block.
fn write_page(path: &Path, size: u64, salt: u8) -> Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    let mut left = size;
    let mut block = 0_u64;
    while left > 0 {
        let line = format!("{block:09} {salt:03} the quick brown fox jumps over the lazy dog\n");
        let part = line.len().min(left as usize);
        file.write_all(&line.as_bytes()[..part])?;
        left -= part as u64;
        block += 1;
    }
    let file = file.into_inner().map_err(std::io::IntoInnerError::into_error)?;
    file.set_permissions(Permissions::from_mode(0o644))?;
    file.set_modified(SystemTime::UNIX_EPOCH + MODIFIED)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn ten_thousand_small_files_have_names_of_their_own_and_sizes_from_end_to_end() {
        let pages: Vec<_> = (0..SMALL_FILES).map(small_page).collect();
        let names: HashSet<_> = pages.iter().map(|page| &page.target).collect();
        assert_eq!(names.len(), SMALL_FILES);
        assert_eq!(pages.iter().map(|page| page.size).min(), Some(SMALLEST as u64));
        assert_eq!(pages.iter().map(|page| page.size).max(), Some(LARGEST as u64));
    }
}
