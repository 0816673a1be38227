//! Real files and pipes.

use std::fs::File;
use std::io::{Seek, Write};
use std::os::unix::fs::FileExt;

use wksp_checkpt::publish::Draft;
use wksp_checkpt::{Checkpoint, RestoreOptions, WriteOptions, Writer, write};

use crate::heap::{Heap, STYLES, file, filled, options, stream, threads};

/// A file without a name.
fn scratch() -> File {
    let path = std::env::temp_dir().join(format!("wksp-checkpt-scratch-{}", std::process::id()));
    let draft = Draft::at(&path).unwrap();
    draft.file().try_clone().unwrap()
}

#[test]
fn files_and_pipes_hold_the_same_as_memory() {
    let mut heap = filled(&[3_000_000, 5, 1_200_000, 70_000, 9, 64], 32, 41);
    let expected = heap.described();
    for style in STYLES {
        for digest in [false, true] {
            let options = WriteOptions { digest, control: threads(2), ..options(style) };
            let in_memory = file(&mut heap, &options);
            let streamed = stream(&mut heap, &options);
            let geometry = *heap.join().geometry();

            let on_disk = scratch();
            let workspace = heap.join();
            write(&workspace.lock().unwrap(), &on_disk, &options).unwrap();
            let mut bytes = vec![0; usize::try_from(on_disk.metadata().unwrap().len()).unwrap()];
            on_disk.read_exact_at(&mut bytes, 0).unwrap();
            assert!(bytes == in_memory);

            let (reader, writer) = std::io::pipe().unwrap();
            let mut spool = scratch();
            let checkpoint = std::thread::scope(|scope| {
                // Closed also if reading fails, or else the writer would wait for ever.
                let mut reader = reader;
                let (workspace, options) = (&workspace, &options);
                scope.spawn(move || {
                    let guard = workspace.lock().unwrap();
                    write(&guard, &mut Writer(writer), options).unwrap();
                });
                Checkpoint::spool(&mut reader, &mut spool, u64::MAX).unwrap()
            });
            assert_eq!(checkpoint.bytes(), streamed.len() as u64);
            let verified = checkpoint.verify(&threads(2)).unwrap();
            let mut target = Heap::new(geometry.footprint());
            let workspace = target.format("target", geometry);
            let control = RestoreOptions { control: threads(2), ..RestoreOptions::default() };
            verified.restore(&mut workspace.lock().unwrap(), &control).unwrap();
            assert_eq!(target.described(), expected);
            drop(checkpoint);
            let mut bytes = vec![0; streamed.len()];
            spool.read_exact_at(&mut bytes, 0).unwrap();
            assert!(bytes == streamed);

            // A file at its own position, as a pipe would be.
            let mut appended = scratch();
            appended.write_all(b"before").unwrap();
            let workspace = heap.join();
            write(&workspace.lock().unwrap(), &mut appended, &options).unwrap();
            assert_eq!(appended.stream_position().unwrap(), 6 + streamed.len() as u64);
        }
    }
}
