//! Presets: real names, those beside them, and what must not be taken for something else.

use proptest::prelude::*;

use super::tests::{GUID, told};
use super::write_tests::any_fields;
use super::*;

fn preset(name: &str) -> &'static Preset {
    Preset::named(name).unwrap_or_else(|| panic!("{name} is a preset"))
}

#[track_caller]
fn check(name: &str, path: &str, expected: &str) {
    let read = match preset(name).read(path) {
        Ok(Some(fields)) => told(&fields),
        Ok(None) => "nothing".to_owned(),
        Err(misread) => misread.to_string(),
    };
    assert_eq!(read, expected, "{path} as {name}");
}

/// Real names, of our samples' headers.txt and of the places that `presets.rs` names, some made longer, and what they
/// tell.
const REAL: [(&str, &str, &str); 23] = [
    (
        "phenix",
        "BR00117035__2021-05-02T16_02_51-Measurement1/Images/r01c01f01p01-ch1sk1fk1fl1.tiff",
        "plate=BR00117035 well=A01 site=1 channel=1 z=1 t=1",
    ),
    (
        "phenix",
        "phenix/BR00121482__Measurement1/Images/r16c24f09p03-ch6sk12fk1fl1.tiff",
        "plate=BR00121482 well=P24 site=9 channel=6 z=3 t=12",
    ),
    ("phenix", "a__b__c/Images/r01c01f100p01-ch1sk1fk1fl1.tiff", "plate=a well=A01 site=100 channel=1 z=1 t=1"),
    ("phenix", "Plate 7/Images/r01c01f01p01-ch1sk1fk1fl1.tiff", "plate=Plate 7 well=A01 site=1 channel=1 z=1 t=1"),
    ("phenix", "r01c01f01p01-ch1sk1fk1fl1.tiff", "well=A01 site=1 channel=1 z=1 t=1"),
    (
        "imagexpress",
        "TimePoint_1/1well-3C-2S-Zmix-T_C07_s1_w1D5F8F51A-3E85-4358-AE51-A465AF87386F.tif",
        "plate=1well-3C-2S-Zmix-T well=C07 site=1 channel=1 t=1",
    ),
    (
        "imagexpress",
        "2023-02-21/1334/TimePoint_2/ZStep_9/Projection-Mix_E07_s1_w1091EB8A5-272A-466D-B8A0-7547C6BA392B.tif",
        "plate=Projection-Mix well=E07 site=1 channel=1 z=9 t=2",
    ),
    (
        "imagexpress",
        "1334/ZStep_1/Projection-Mix_E07_s1_w427CCB2E4-1BF4-45E7-8BC7-264B48EF9C4A.tif",
        "plate=Projection-Mix well=E07 site=1 channel=4 z=1",
    ),
    ("imagexpress", "38030/ABCD_A01_w5b71ae91c-75e6-426c-8b41-71a5693784e3.tif", "plate=ABCD well=A01 channel=5"),
    ("imagexpress", "38030/ABCD_A01_s1b71ae91c-75e6-426c-8b41-71a5693784e3.tif", "plate=ABCD well=A01 site=1"),
    ("imagexpress", "38030/ABCD_A01b71ae91c-75e6-426c-8b41-71a5693784e3.tif", "plate=ABCD well=A01"),
    (
        "imagexpress",
        "20130213u2os-prescreendba18-96h_g16_s8_w11619fbbe-5bcd-487b-8e48-fc183b5072d9.tif",
        "plate=20130213u2os-prescreendba18-96h well=G16 site=8 channel=1",
    ),
    ("metaxpress", "9987_B02_s1_w1.TIF", "plate=9987 well=B02 site=1 channel=1"),
    ("metaxpress", "9987_B02.TIF", "plate=9987 well=B02"),
    ("metaxpress", "TimePoint_1/Week4_27481_B02_s10.TIF", "plate=Week4_27481 well=B02 site=10 t=1"),
    ("metaxpress", "96well-5col-p21-2-1-HGS-PIP_C07_w1.TIF", "plate=96well-5col-p21-2-1-HGS-PIP well=C07 channel=1"),
    ("metaxpress", "3433/TimePoint_1/ZStep_0/3433_C07_s2_w2.TIF", "plate=3433 well=C07 site=2 channel=2 z=0 t=1"),
    ("cv8000", "x/P1/P1_D08_T0001F002L01A03Z04C05.tif", "plate=P1 well=D08 site=2 channel=5 z=4 t=1"),
    (
        "cv8000",
        "AssayPlate_Greiner_#781956_B04_T0001F001L01A02Z01C02.tif",
        "plate=AssayPlate_Greiner_#781956 well=B04 site=1 channel=2 z=1 t=1",
    ),
    (
        "jump-png",
        "UL001641/source_1__UL001641__A02__1__AGP.png",
        "experiment=source_1 plate=UL001641 well=A02 site=1 channel=AGP",
    ),
    (
        "bbbc021",
        "Week4/Week4_27481/G10_s1_w43CD51CBC-2370-471F-BA01-EE250B14B3C8.tif",
        "experiment=Week4 plate=Week4_27481 well=G10 site=1 channel=4",
    ),
    ("kaggle-flat", "HEPG2-08_1_B02_w1.png", "experiment=HEPG2-08 plate=1 well=B02 channel=1"),
    ("wilds", "images/HUVEC-01/Plate1/B02_s1.png", "experiment=HUVEC-01 plate=1 well=B02 site=1"),
];

#[test]
fn real_names_tell_what_they_say_and_are_known_again() {
    for (name, path, expected) in REAL {
        check(name, path, expected);
        assert_eq!(suggest(&[path]).map(Preset::name), Some(name), "{path}");
        assert!(!preset(name).is_beside(path), "{path}");
    }
    check("kaggle-flat", "HEPG2-08_1_B02_s2_w1.png", "experiment=HEPG2-08 plate=1 well=B02 site=2 channel=1");
    check("rxrx", "images/HUVEC-1/Plate1/AA02_s2_w3.png", "experiment=HUVEC-1 plate=1 well=AA02 site=2 channel=3");
}

#[test]
fn images_beside_those_of_wells_are_known_and_tell_nothing() {
    for (name, path) in [
        ("imagexpress", "ZStep_1/Projection-Mix_E07_s1_w1_thumb187DE64B-038A-4671-BF6B-683721723769.tif"),
        ("imagexpress", "P_B02_s1_w1_thumb_187DE64B-038A-4671-BF6B-683721723769.tif"),
        ("imagexpress", "P_B02_thumb187DE64B-038A-4671-BF6B-683721723769.tif"),
        ("metaxpress", "9987_B02_s1_w1_thumb.TIF"),
        ("metaxpress", "TimePoint_1/9987_B02_s1_w1_Thumb.TIF"),
        ("metaxpress", "9987_B02_thumb.tiff"),
        ("cv8000", "P1/DC_sCMOS #1_CAM1.tif"),
        ("cv8000", "P1/SC_BP445-45_40x_M10_CH01.tif"),
    ] {
        check(name, path, "nothing");
        assert!(preset(name).is_beside(path), "{path}");
        assert!(!preset("rxrx").is_beside(path), "{path}");
    }
}

#[test]
fn an_image_of_a_well_is_never_taken_for_one_beside_them() {
    for (name, path) in [
        ("metaxpress", "x_thumb_B02_s1_w1.TIF"),
        ("metaxpress", "a_thumb/9987_B02.TIF"),
        ("cv8000", "P1/DC_1_D08_T0001F001L01A01Z01C01.tif"),
        ("cv8000", "SC_1/SC_1_D08_T0001F001L01A01Z01C01.tif"),
    ] {
        assert!(preset(name).read(path).unwrap().is_some(), "{path}");
        assert!(!preset(name).is_beside(path), "{path}");
    }
    // What cannot be read, but was meant for an image, and what is not known at all.
    for (name, path) in [
        ("cv8000", "P1/DC_1_D00_T0001F001L01A01Z01C01.tif"),
        ("cv8000", "P1/DC_1.png"),
        ("cv8000", "P1/dc_1.tif"),
        ("metaxpress", "9987_B02_s1_w1_thumb.png"),
        ("metaxpress", "9987_B02_s1_w1_thumbs.TIF"),
        ("metaxpress", "é_thumbXYZ.TIF"),
        ("metaxpress", "thumb"),
        ("metaxpress", ".tif"),
    ] {
        assert!(!preset(name).is_beside(path), "{path}");
    }
}

#[test]
fn what_only_looks_like_a_name_of_a_preset_tells_nothing_or_why() {
    for (name, path) in [
        ("phenix", "P__1/Images/r01c01f01p01-ch1sk1fk2fl1.tiff"),
        ("phenix", "P__1/Images/r01c01f01p01-ch1.tiff"),
        ("imagexpress", "9987_B02_s1_w1.TIF"),
        ("imagexpress", "9987_B02_DAPI187DE64B-038A-4671-BF6B-683721723769.tif"),
        ("metaxpress", "9987_B02_s1_w1.png"),
        ("cv8000", "P1/P1_D08_T0001F001Z01C01.tif"),
        ("jump-png", "a__b__c__A02__1__AGP.png"),
        ("rxrx", "HUVEC-01/Plate1/B02_s1.png"),
        ("rxrx", "HUVEC-01/1/B02_s1_w1.png"),
        ("wilds", "HUVEC-01/Plate1/B02_s1_w1.png"),
        ("kaggle-flat", "HEPG2-08_B02_w1.png"),
    ] {
        check(name, path, "nothing");
    }
    for (name, path, field) in [
        ("imagexpress", format!("G10_s1_w1{GUID}.tif"), Field::Well),
        ("imagexpress", format!("TimePoint_99999/P_B02_s1_w1{GUID}.tif"), Field::T),
        ("metaxpress", format!("P_B02_s1_w1{GUID}.tif"), Field::Channel),
        ("metaxpress", "P_B02_s1_w1_z1.TIF".to_owned(), Field::Well),
        ("metaxpress", "P_B02_t1_w1.TIF".to_owned(), Field::Well),
        ("metaxpress", "P_B00_s1_w1.TIF".to_owned(), Field::Well),
        ("kaggle-flat", "P_B02_s1_w1.png".to_owned(), Field::Well),
        ("phenix", "r17c00f01p01-ch1sk1fk1fl1.tiff".to_owned(), Field::Column),
    ] {
        assert_eq!(preset(name).read(&path).map_err(|misread| misread.field), Err(field), "{path} as {name}");
    }
}

#[test]
fn presets_have_names_of_their_own_a_line_that_tells_what_they_are_and_names_for_channels() {
    let names: Vec<&str> = Preset::all().iter().map(Preset::name).collect();
    let expected =
        ["phenix", "imagexpress", "metaxpress", "cv8000", "jump-png", "bbbc021", "kaggle-flat", "wilds", "rxrx"];
    assert_eq!(names, expected);
    for preset in Preset::all() {
        assert_eq!(Preset::named(preset.name()).unwrap().about(), preset.about());
        assert_eq!(preset.to_string(), preset.name());
        assert!(!preset.about().is_empty() && preset.about().len() <= 100, "{preset}");
        assert!(!preset.patterns().is_empty());
    }
    assert!(Preset::named("Phenix").is_none());
    for (name, channel, expected) in [
        ("metaxpress", "1", "w1"),
        ("phenix", "12", "ch12"),
        ("cv8000", "5", "C5"),
        ("jump-png", "AGP", "AGP"),
        ("rxrx", "Alexa 568", "Alexa 568"),
    ] {
        assert_eq!(preset(name).channel_name(channel), expected);
    }
}

#[test]
fn a_preset_is_suggested_only_if_it_reads_more_than_half_and_what_lies_beside_does_not_count() {
    let suggested = |paths: &[&str]| suggest(paths).map(Preset::name);
    let phenix = "r01c01f01p01-ch1sk1fk1fl1.tiff";
    assert_eq!(suggested(&[]), None);
    assert_eq!(suggested(&["a.tif", "b.tif"]), None);
    assert_eq!(suggested(&[phenix, "a.tif"]), None);
    assert_eq!(suggested(&[phenix, "a.tif", phenix]), Some("phenix"));
    assert_eq!(suggested(&[phenix, phenix, "9987_B02.TIF", "9987_B03.TIF", "9987_B04.TIF"]), Some("metaxpress"));
    assert_eq!(
        suggested(&["9987_B02_s1_w1.TIF", "9987_B02_s1_w1_thumb.TIF", "9987_B03_thumb.TIF"]),
        Some("metaxpress")
    );
    assert_eq!(suggested(&["9987_B02_thumb.TIF"]), None);
    assert_eq!(suggested(&["HUVEC-01/Plate1/B02_s1_w1.png"]), Some("rxrx"));
    assert_eq!(suggested(&["9987_B00.TIF", "9987_B02_s1_w70000.TIF"]), None);
}

#[test]
fn a_preset_leaves_out_what_is_not_given_and_never_what_it_cannot_write() {
    let fields = Fields {
        experiment: None,
        plate: Some("P"),
        well: "B02".parse().unwrap(),
        site: Some(1),
        channel: Some("DAPI"),
        z: None,
        t: Some(3),
    };
    assert_eq!(preset("metaxpress").write(&fields).as_deref(), Ok("TimePoint_3/P_B02_s1_wDAPI.TIF"));
    let only_well = Fields { site: None, channel: None, t: None, ..fields };
    assert_eq!(preset("metaxpress").write(&only_well).as_deref(), Ok("P_B02.TIF"));
    assert!(matches!(preset("imagexpress").write(&fields), Err(Unwritable::ReadOtherwise(_))));
    assert_eq!(preset("jump-png").write(&fields), Err(Unwritable::NotGiven(Field::Experiment)));
}

proptest! {
    #[test]
    fn what_a_preset_writes_it_reads(
        i in 0..Preset::all().len(), (experiment, plate, well, channel, [site, z, t]) in any_fields(),
        named in any::<bool>(), told in any::<[bool; 4]>(),
    ) {
        let preset = &Preset::all()[i];
        let channel = if named && preset.name() == "jump-png" { "Alexa 568".to_owned() } else { channel };
        let fields = Fields {
            experiment: Some(&experiment), plate: Some(&plate), well, site: told[0].then_some(site),
            channel: told[1].then_some(&channel), z: told[2].then_some(z), t: told[3].then_some(t),
        };
        // Those that leave something out where it is not told have a pattern for whatever is.
        let is_any = matches!(preset.name(), "imagexpress" | "metaxpress");
        match preset.write(&fields) {
            Err(error) => {
                prop_assert!(matches!(error, Unwritable::NotGiven(_)), "{}", error);
                prop_assert!(!is_any && told != [true; 4]);
            }
            Ok(path) => {
                let read = preset.read(&path).unwrap().unwrap();
                if is_any {
                    prop_assert_eq!(read, Fields { experiment: None, ..fields });
                }
                prop_assert_eq!(read.well, well);
                prop_assert!(read.plate.is_none_or(|read| read == plate));
                prop_assert!(read.experiment.is_none_or(|read| read == experiment));
                prop_assert!(read.site.is_none_or(|read| fields.site == Some(read)));
                prop_assert!(read.channel.is_none_or(|read| fields.channel == Some(read)));
                prop_assert!(read.z.is_none_or(|read| fields.z == Some(read)));
                prop_assert!(read.t.is_none_or(|read| fields.t == Some(read)));
            }
        }
    }

    #[test]
    fn each_pattern_of_each_preset_reads_what_it_writes(
        (experiment, plate, well, channel, [site, z, t]) in any_fields(),
    ) {
        let fields = Fields {
            experiment: Some(&experiment), plate: Some(&plate), well, site: Some(site), channel: Some(&channel),
            z: Some(z), t: Some(t),
        };
        for pattern in Preset::all().iter().flat_map(Preset::patterns) {
            let path = pattern.write(&fields).unwrap();
            let read = pattern.read(&path).unwrap().unwrap();
            prop_assert_eq!(read.well, well);
            prop_assert_eq!(read.plate, Some(plate.as_str()).filter(|_| pattern.has(Field::Plate)));
            prop_assert_eq!(read.experiment, Some(experiment.as_str()).filter(|_| pattern.has(Field::Experiment)));
            prop_assert_eq!(read.site, Some(site).filter(|_| pattern.has(Field::Site)));
            prop_assert_eq!(read.channel, Some(channel.as_str()).filter(|_| pattern.has(Field::Channel)));
            prop_assert_eq!(read.z, Some(z).filter(|_| pattern.has(Field::Z)));
            prop_assert_eq!(read.t, Some(t).filter(|_| pattern.has(Field::T)));
        }
    }

    #[test]
    fn any_path_is_read_or_refused(path in "[ -~]{0,60}") {
        for preset in Preset::all() {
            let _ = preset.read(&path);
            let _ = preset.is_beside(&path);
        }
        let _ = suggest(&[&path]);
    }
}
