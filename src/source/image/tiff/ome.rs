//! What OME-XML says of the file that it is in: how many planes there are. It is looked through for the elements that
//! tell it, and held against nothing else. Pure.

use std::collections::BTreeMap;

/// Planes that the OME-XML of a file says are in it; `None` where the text is no OME-XML or names no pixels.
///
/// A set of many files has the same text in each, that of all images: an element `TiffData` tells which file has a
/// plane, by its UUID or else its name, and the first element tells the UUID of this one. A plane of which no file is
/// told is here; and where an image has elements `TiffData`, what they do not name is nowhere.
pub(super) fn planes(text: &str, samples_of_pixel: u64) -> Option<u64> {
    let mut tags = Tags { rest: text };
    let first = tags.next().filter(|tag| tag.name() == "OME")?;
    let this_file = first.value("UUID").unwrap_or_default().trim();
    let mut files = Files::default();
    let mut is_told = false;
    let mut pixels: Option<Pixels> = None;
    for tag in tags {
        match (tag.name(), &mut pixels) {
            ("Pixels", _) if !tag.is_end() => {
                let side = |name| tag.value(name).and_then(|text| text.trim().parse().ok()).unwrap_or(1_u64).max(1);
                let planes = side("SizeZ").saturating_mul(side("SizeT"));
                let of = Pixels { planes, bands: side("SizeC"), samples_of_pixel, ..Pixels::default() };
                if tag.is_empty() {
                    of.end(&mut files);
                    is_told = true;
                } else {
                    pixels = Some(of);
                }
            }
            ("Pixels", Some(_)) => {
                pixels.take().unwrap_or_default().end(&mut files);
                is_told = true;
            }
            ("Channel", Some(of)) if !tag.is_end() => {
                if let Some(samples) = tag.value("SamplesPerPixel").and_then(|text| text.trim().parse().ok()) {
                    of.samples_of_pixel = samples;
                }
            }
            ("MetadataOnly", Some(of)) => of.is_told = true,
            ("TiffData", Some(of)) => {
                of.close(&mut files);
                if !tag.is_end() {
                    let number = |name| tag.value(name).and_then(|text| text.trim().parse().ok());
                    let one = tag.value("IFD").map(|_| 1);
                    of.open = Some((number("PlaneCount").or(one), ""));
                }
            }
            ("UUID", Some(of)) if !tag.is_end() => {
                if let Some((_, file)) = &mut of.open {
                    *file = if tag.text.is_empty() { tag.value("FileName").unwrap_or_default() } else { tag.text };
                }
            }
            _ => {}
        }
    }
    is_told.then(|| files.planes_of(this_file))
}

/// Planes of each file, by its UUID or name; what names none is of this one, as `""`.
#[derive(Default)]
struct Files<'a> {
    planes: BTreeMap<&'a str, u64>,
}

impl<'a> Files<'a> {
    fn add(&mut self, file: &'a str, planes: u64) {
        let sum = self.planes.entry(file).or_default();
        *sum = sum.saturating_add(planes);
    }

    /// Planes of the file of that UUID.
    fn planes_of(&self, uuid: &str) -> u64 {
        let of = |file| self.planes.get(file).copied();
        match (of(""), of(uuid).filter(|_| !uuid.is_empty())) {
            // Which of the files this is cannot be told.
            (None, None) => self.planes.values().copied().max().unwrap_or(0),
            (unnamed, named) => unnamed.unwrap_or(0).saturating_add(named.unwrap_or(0)),
        }
    }
}

/// An element `Pixels`.
#[derive(Default)]
struct Pixels<'a> {
    /// Planes of one band.
    planes: u64,
    bands: u64,
    samples_of_pixel: u64,
    /// Whether it tells where its planes are, or that there are none.
    is_told: bool,
    /// The element `TiffData` that is open: its planes, if it says so, and its file.
    open: Option<(Option<u64>, &'a str)>,
}

impl<'a> Pixels<'a> {
    fn all(&self) -> u64 {
        self.planes.saturating_mul((self.bands / self.samples_of_pixel.max(1)).max(1))
    }

    fn close(&mut self, files: &mut Files<'a>) {
        if let Some((planes, file)) = self.open.take() {
            self.is_told = true;
            files.add(file, planes.unwrap_or_else(|| self.all()));
        }
    }

    fn end(mut self, files: &mut Files<'a>) {
        self.close(files);
        if !self.is_told {
            files.add("", self.all());
        }
    }
}

/// A tag: what is between `<` and `>`, and the text behind it.
struct TagText<'a> {
    inside: &'a str,
    text: &'a str,
}

impl<'a> TagText<'a> {
    /// The name without the one of its namespace.
    fn name(&self) -> &'a str {
        let inside = self.inside.trim_start_matches('/');
        let name = inside.split(|c: char| c.is_whitespace() || c == '/').next().unwrap_or_default();
        name.rsplit(':').next().unwrap_or_default()
    }

    fn is_end(&self) -> bool {
        self.inside.starts_with('/')
    }

    fn is_empty(&self) -> bool {
        self.inside.ends_with('/')
    }

    /// The value of an attribute.
    fn value(&self, name: &str) -> Option<&'a str> {
        let mut rest = self.inside;
        while let Some((before, behind)) = rest.split_once('=') {
            let behind = behind.trim_start();
            let quote = behind.chars().next().filter(|c| matches!(c, '"' | '\''))?;
            let (value, behind) = behind[1..].split_once(quote)?;
            if before.split_whitespace().next_back() == Some(name) {
                return Some(value);
            }
            rest = behind;
        }
        None
    }
}

/// The tags of a text of XML; comments, instructions and quoted text are passed over.
struct Tags<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Tags<'a> {
    type Item = TagText<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (_, tag) = self.rest.split_once('<')?;
            let ends = [("!--", "-->"), ("![CDATA[", "]]>"), ("?", "?>"), ("!", ">")];
            if let Some((_, end)) = ends.iter().find(|(start, _)| tag.starts_with(start)) {
                (_, self.rest) = tag.split_once(end)?;
                continue;
            }
            let mut quote = None;
            let end = tag.find(|c| match (quote, c) {
                (None, '>') => true,
                (None, '"' | '\'') => {
                    quote = Some(c);
                    false
                }
                (Some(of), _) => {
                    quote = quote.filter(|_| c != of);
                    false
                }
                _ => false,
            })?;
            self.rest = &tag[end + 1..];
            let text = self.rest.split('<').next().unwrap_or_default().trim();
            return Some(TagText { inside: &tag[..end], text });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(xml: &str, expected: Option<u64>) {
        assert_eq!(planes(xml, 1), expected, "{xml}");
    }

    #[test]
    fn planes_are_those_of_all_sizes_where_no_other_file_has_one() {
        let of = |sizes: &str, within: &str| {
            format!(
                "<?xml version='1.0'?>\n<!-- <Pixels SizeZ='9'> -->\n<OME xmlns=\"x\"><Image><Pixels {sizes}>{within}</Pixels></Image></OME>"
            )
        };
        check(&of("SizeZ=\"1\" SizeC=\"1\" SizeT=\"1\"", ""), Some(1));
        check(&of("SizeZ=\"3\" SizeC='2' SizeT=\"4\"", "<TiffData/>"), Some(24));
        check(&of("SizeC=\"3\"", "<Channel ID='a' SamplesPerPixel='3'/>"), Some(1));
        check(&of("SizeC=\"6\"", "<Channel SamplesPerPixel='3'></Channel>"), Some(2));
        check(&of("SizeC=\"1\"", "<TiffData IFD='0' PlaneCount='7'/>"), Some(7));
        check(&of("SizeT=\"5\"", "<TiffData IFD='0'><UUID FileName='a'>urn:uuid:1</UUID></TiffData>"), Some(1));
        let twice = of("SizeC=\"1\"", "").replace("</OME>", "<Image><p:Pixels SizeC='1'/></Image></OME>");
        check(&twice, Some(2));
        check("<OME><BinaryOnly MetadataFile='a' UUID='b'/></OME>", None);
        check("<MetaData><Pixels SizeZ='3'/></MetaData>", None);
        check("<o:OME xmlns:o='x'><o:Pixels Name='>' SizeZ='3'/></o:OME>", Some(3));
        for text in ["", "<", "<OME", "<OME a=><Pixels a='", "no text", "<OME><Pixels SizeZ='3'>", "<!--"] {
            check(text, None);
        }
    }

    #[test]
    fn planes_of_other_files_are_not_of_this_one() {
        let data = |uuid: &str, ifd: u64| format!("<TiffData IFD='{ifd}'><UUID>{uuid}</UUID></TiffData>");
        let of = |this: &str, data: &str| {
            format!("<OME {this}><Image><Pixels SizeC='2' SizeZ='1' SizeT='1'>{data}</Pixels></Image></OME>")
        };
        let two = [data("urn:a", 0), data("urn:b", 0)].concat();
        check(&of("UUID='urn:a'", &two), Some(1));
        check(&of("", &two), Some(1));
        check(&of("UUID='urn:a'", &[data("urn:a", 0), data("urn:a", 1)].concat()), Some(2));
        check(&of("UUID='urn:a'", &[&two[..], &data("urn:a", 1)].concat()), Some(2));
        check(&of("UUID='urn:c'", &[&two[..], &data("urn:b", 1)].concat()), Some(2));
        check(&of("UUID='urn:a'", &two.replace("urn:a", "\n urn:a \n")), Some(1));
        check(&of("UUID=' urn:a '", &[&two[..], &data("urn:b", 1)].concat()), Some(1));
        let by_name = "<TiffData IFD='0'><UUID FileName='a.tif'/></TiffData>";
        check(&of("", &[by_name, &by_name.replace("a.tif", "b.tif")].concat()), Some(1));
        check(&of("", &[by_name, by_name].concat()), Some(2));
    }

    #[test]
    fn a_text_of_many_images_in_many_files_is_looked_at_as_a_whole() {
        // Four images of two planes, each plane a file, as a plate is exported.
        let image = |i: u64| {
            let data =
                |c| format!("<TiffData FirstC='{c}' IFD='0'><UUID FileName='f'> urn:{i}-{c}\n</UUID></TiffData>");
            format!("<Image><Pixels SizeC='2'>{}{}</Pixels></Image>", data(0), data(1))
        };
        let of = |this: &str, more: &str| {
            let images: String = (0..4).map(image).collect();
            format!("<OME {this}>{images}{more}</OME>")
        };
        check(&of("UUID='urn:2-1'", ""), Some(1));
        check(&of("", ""), Some(1));
        check(&of("UUID='urn:other'", ""), Some(1));
        check(&of("UUID='urn:2-1'", &image(2)), Some(2));
        check(&of("UUID='urn:1-1'", &image(2)), Some(1));
        check(&of("", &image(2)), Some(2));
        check(&of("", "<Image><Pixels SizeC='3'><MetadataOnly/></Pixels></Image>"), Some(1));
        check(&of("UUID='urn:2-1'", "<Image><Pixels SizeC='3'/></Image>"), Some(4));
    }

    #[test]
    fn what_an_image_does_not_name_among_its_data_is_not_in_its_file() {
        let of = |data: &str| format!("<OME><Image><Pixels SizeC='4'>{data}</Pixels></Image></OME>");
        check(&of("<TiffData FirstC='1' IFD='0' PlaneCount='1'/>"), Some(1));
        check(&of("<TiffData IFD='0'/><TiffData IFD='1'/>"), Some(2));
        check(&of("<TiffData/>"), Some(4));
        check(&of(""), Some(4));
    }
}
