//! A file is one plane or a fault, whatever way its writer has of telling of several.

use super::tests::{DATA, Made, SIZE, decode};
use crate::fault::FaultKind::{ManyPages, Undecodable};
use crate::site::Dtype;
use crate::source::image::{Colour, ImageFault};

/// A file of the pages that are given, in a chain, with those that follow below the first.
fn pages(chain: &[Made], below: &[Made]) -> Result<Vec<u8>, ImageFault> {
    let mut file: Vec<u8> = b"II*\0\0\0\0\0\0\0\0\0\0\0\0\0".into();
    let mut offsets = Vec::new();
    for page in below.iter().chain(chain.iter().rev()) {
        let mut page = page.clone();
        let data_at = file.len() as u64;
        file.extend(&page.data);
        let is_in_chain = offsets.len() >= below.len();
        let is_first = offsets.len() + 1 == below.len() + chain.len();
        if is_first && !below.is_empty() {
            page = page.with(330, 13, &offsets[..below.len()]);
        }
        let starts: Vec<u64> = page.tags.iter().find(|tag| tag.0 == 273).unwrap().2.clone();
        page = page.with(273, 4, &starts.iter().map(|at| at - DATA + data_at).collect::<Vec<_>>());
        let next = if is_in_chain && offsets.len() > below.len() { *offsets.last().unwrap() } else { 0 };
        offsets.push(file.len() as u64);
        file.extend(page.directory(file.len() as u64, next));
    }
    file[4..8].copy_from_slice(&(*offsets.last().unwrap() as u32).to_le_bytes());
    decode(&file, SIZE, Dtype::Uint8, Colour::Grey)
}

fn half() -> Made {
    let half = Made { data: (1..=6).collect(), ..Made::new() };
    half.with(256, 3, &[3]).with(257, 3, &[2]).with(273, 4, &[DATA]).with(279, 4, &[6])
}

#[track_caller]
fn check(chain: &[Made], below: &[Made], part: &str) {
    let fault = pages(chain, below).unwrap_err();
    assert!(fault.kind == ManyPages && fault.detail.contains(part), "{fault:?}");
}

#[test]
fn smaller_copies_that_say_so_are_passed_over_wherever_they_are_and_whatever_else_there_is_is_a_fault() {
    let full = Made::new;
    let flagged = |page: Made, flags: u64| page.with(254, 4, &[flags]);
    let reduced = || flagged(half(), 1);
    let expected = full().data;
    for (chain, below) in [
        (vec![full()], vec![]),
        (vec![flagged(full(), 2)], vec![]),
        (vec![flagged(full(), 1)], vec![]),
        (vec![full(), reduced()], vec![]),
        (vec![reduced(), full()], vec![]),
        (vec![full(), half().with(255, 3, &[2])], vec![]),
        (vec![full()], vec![reduced()]),
        (vec![full(), reduced()], vec![reduced(), reduced()]),
    ] {
        assert_eq!(pages(&chain, &below).as_ref(), Ok(&expected), "{} {}", chain.len(), below.len());
    }
    check(&[full(), full()], &[], "found 2 pages");
    check(&[full(), half()], &[], "found 2 pages");
    check(&[full(), flagged(full(), 2), full()], &[], "found 3 pages");
    check(&[full()], &[full()], "found 2 pages");
    check(&[full()], &[half()], "found 2 pages");
    check(&[full()], &[reduced(), full()], "found 2 pages");
    check(&[full(), flagged(full(), 1)], &[], "6 x 5, and 6 x 5 that is called a smaller copy");
    check(&[full()], &[flagged(full(), 1)], "6 x 5, and 6 x 5 that is called a smaller copy");
    let wide = flagged(full().with(256, 3, &[3]).with(257, 3, &[10]).with(278, 3, &[6]), 1);
    check(&[full(), wide], &[], "6 x 5, and 3 x 10 that is called a smaller copy");
    check(&[reduced()], &[full()], "one that is below another (SubIFDs)");
    check(&[reduced()], &[reduced()], "2 that are called smaller copies");
    check(&[full(), flagged(half(), 4)], &[], "a mask beside it");
    check(&[full()], &[flagged(full(), 5)], "a mask beside it");
    check(&[vec![full()], vec![reduced(); 70]].concat(), &[], "more than 64 directories beside it");
}

#[test]
fn what_is_as_large_as_the_image_and_has_no_directory_is_a_fault() {
    let made = |n: u8| Made { data: (1..=n).collect(), ..Made::new() };
    assert!(made(59).decode().is_ok(), "that much may be spare");
    made(60).check(ManyPages, "one image, found 30 bytes more, as many as an image has, at byte 46");
    made(90).check(ManyPages, "found 60 bytes more");
    // A stack that is one strip.
    let one_strip = made(90).with(273, 4, &[DATA]).with(278, 4, &[90]).with(279, 4, &[90]);
    one_strip.check(ManyPages, "found 60 bytes more");
    made(60).with(273, 4, &[DATA + 30, DATA + 48]).check(ManyPages, "at byte 8");
    // What a tag of others has is named.
    assert!(made(30).with(50_000, 1, &[7; 90]).decode().is_ok());
    // Of a packed image, whose size in the file says little, as much as metadata may have.
    let packed = |spare: usize| {
        let mut made = Made { data: [&[26][..], &[7; 27], &[254, 9]].concat(), ..Made::new() };
        made = made.with(259, 3, &[32_773]).with(273, 4, &[DATA]).with(278, 3, &[5]).with(279, 4, &[30]);
        made.data.resize(30 + spare, 1);
        made
    };
    assert!(packed(8191).decode().is_ok());
    packed(8192).check(ManyPages, "found 8192 bytes more");
    // A text that no directory names any more, beside either; what is no text is found behind it.
    let text = "<Channel ID=\"1\" Name=\"DAPI\"/>\n".repeat(600).into_bytes();
    for made in [made(30), packed(0)] {
        let with = |more: &[u8]| Made { data: [&made.data[..], more].concat(), ..made.clone() };
        assert!(with(&text).decode().is_ok());
        assert!(with(&[&text[..], &[0; 100]].concat()).decode().is_ok());
        with(&[&text[..], &[1; 9000]].concat()).check(ManyPages, "bytes more");
        assert!(with(&[0; 9000]).decode().is_ok(), "a text that was cleared");
    }
}

#[test]
fn strips_that_lie_in_the_head_or_the_directory_or_in_one_another_are_faults() {
    let own = "strips or tiles that have bytes of their own, found one that begins in another part, at byte ";
    let check = |made: Made, at: u64| made.check(Undecodable, &format!("{own}{at}"));
    let spare = || Made { data: (1..=40).collect(), ..Made::new() };
    check(spare().with(273, 4, &[0, DATA + 18]), 0);
    check(spare().with(273, 4, &[7, DATA + 18]), 7);
    check(spare().with(273, 4, &[DATA, DATA]), DATA);
    check(spare().with(273, 4, &[DATA, DATA + 17]), DATA + 17);
    check(spare().with(273, 4, &[DATA, DATA + 40]), DATA + 40);
    check(spare().with(273, 4, &[DATA, DATA + 8]).without(279), DATA + 8);
    let longer = spare().with(273, 4, &[DATA, DATA + 18]).with(279, 4, &[18, 22]);
    assert!(longer.decode().is_ok(), "of a raw strip no more is its own than it needs");
    let packed = Made { data: vec![255 - 16, 7, 255 - 10, 7], ..Made::new() }.with(259, 3, &[32_773]);
    let packed = |at: [u64; 2]| packed.clone().with(273, 4, &at).with(279, 4, &[2, 2]);
    assert!(packed([DATA, DATA + 2]).decode().is_ok());
    check(packed([DATA + 2, DATA + 2]), DATA + 2);
}

#[test]
fn what_a_text_or_a_tag_tells_of_a_stack_is_believed_and_every_text_is_looked_at() {
    let text = |text: &str| text.bytes().map(u64::from).collect::<Vec<_>>();
    let made = |description: &str| Made::new().with(270, 2, &text(description));
    made("{\"shape\": [3, 5, 6], \"truncated\": true}\0").check(ManyPages, "found 3 pages");
    made("<?xml version=\"1.0\"?><OME><Image><Pixels SizeZ=\"4\" SizeC=\"1\" SizeT=\"1\"/></Image></OME>")
        .check(ManyPages, "found 4 pages");
    made("ImageJ=1.54f\nchannels=2\nhyperstack=true\n").check(ManyPages, "found 2 pages");
    made("of a lab\0ImageJ=1.54f\nimages=5\n").check(ManyPages, "found 5 pages");
    made(&format!("ImageJ=1.54f\ninfo={}\nimages=12\n", "x".repeat(5000))).check(ManyPages, "found 12 pages");
    assert!(made("{\"shape\": [5, 6]}").decode().is_ok());
    let mut two = made("of its user");
    two.tags.push((270, 2, text("{\"shape\": [3, 5, 6]}")));
    two.tags.sort();
    two.check(ManyPages, "found 3 pages");
    for tag in [32_997, 32_998] {
        Made::new().with(tag, 3, &[4]).check(ManyPages, "found 4 pages");
    }
    for tag in [33_629, 33_630, 33_631] {
        Made::new().with(tag, 5, &[0; 6]).check(ManyPages, "found 6 pages");
        assert!(Made::new().with(tag, 5, &[0]).decode().is_ok(), "of a single plane");
    }
}

#[test]
fn a_tag_that_says_two_things_and_directories_in_a_circle_below_are_faults() {
    let mut made = Made::new();
    made.tags.push((256, 3, vec![6]));
    made.tags.sort();
    assert!(made.decode().is_ok(), "twice the same");
    made.tags.push((256, 3, vec![5]));
    made.tags.sort();
    made.check(Undecodable, "one ImageWidth, found two that differ");
    let at = DATA + 30;
    Made::new().with(330, 4, &[at]).check(Undecodable, "overlap or lie in a circle");
    Made::new().with(330, 4, &[at; 40]).check(Undecodable, "directories that there is room for");
    assert!(Made::new().with(330, 4, &[0]).decode().is_ok(), "none");
}

#[test]
fn packed_bytes_that_make_more_than_a_strip_are_a_fault() {
    let made = |data: Vec<u8>| {
        let n = data.len() as u64;
        let made = Made { data, ..Made::new() }.with(259, 3, &[32_773]).with(278, 3, &[5]);
        made.with(273, 4, &[DATA]).with(279, 4, &[n])
    };
    assert_eq!(made(vec![227, 7]).decode(), Ok(vec![7; 30]));
    assert_eq!(made(vec![227, 7, 128, 0]).decode(), Ok(vec![7; 30]), "filled up");
    made(vec![226, 7]).check(Undecodable, "30 bytes of strip 0, found more");
    made(vec![227, 7, 227, 7]).check(Undecodable, "found more");
    made([&[30][..], &[7; 31]].concat()).check(Undecodable, "found more");
}
