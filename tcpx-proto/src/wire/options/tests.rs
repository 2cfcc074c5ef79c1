//! What is read, what is written, and as text.

use super::*;
use alloc::string::ToString;
use alloc::vec::Vec;
use proptest::prelude::*;

fn read(area: &[u8]) -> Options {
    let (options, malformed) = Options::parse(area);
    assert!(!malformed, "{area:?}");
    options
}

fn written(options: &Options) -> Vec<u8> {
    laid_out(options, OptionLayout::Linux)
}

fn laid_out(options: &Options, layout: OptionLayout) -> Vec<u8> {
    let mut area = [0xff; MAX_OPTIONS_LEN];
    let len = options.emit(layout, &mut area);
    area[..len].to_vec()
}

const STAMPS: Timestamps = Timestamps {
    value: 0x0102_0304,
    echo: 0x0506_0708,
};

/// Proves MUST-4, MUST-64.
#[test]
fn options_parse_each_kind_is_read_at_any_octet() {
    let area = [
        34, 6, 9, 9, 9, 9, 2, 4, 5, 180, 3, 3, 7, 4, 2, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 5, 10, 0, 0,
        0, 1, 0, 0, 0, 9,
    ];
    let mut sack = SackBlocks::default();
    assert!(sack.push(Seq(1), Seq(9)));
    let expected = Options {
        mss: Some(1460),
        window_scale: Some(7),
        sack_permitted: true,
        sack,
        timestamps: Some(STAMPS),
        fast_open: FastOpenCookie::new(&[9; 4]),
    };
    for shift in 0..4 {
        let mut shifted = alloc::vec![NOP; shift];
        shifted.extend(area);
        assert_eq!(read(&shifted), expected, "{shift} NOPs before");
    }
}

/// Proves 7413-2.
#[test]
fn fast_open_cookie_has_an_even_number_of_bytes_from_4_to_16_or_none() {
    let allowed: Vec<usize> = (0..20)
        .filter(|len| FastOpenCookie::new(&[7; 20][..*len]).is_some())
        .collect();
    assert_eq!(allowed, [0, 4, 6, 8, 10, 12, 14, 16]);
    let taken = |area: &[u8]| read(area).fast_open;
    assert_eq!(taken(&[34, 5, 7, 7, 7]), None);
    assert_eq!(taken(&[34, 6, 7, 7, 7, 7]), FastOpenCookie::new(&[7; 4]));
}

/// Proves MUST-4.
#[test]
fn options_parse_nothing_counts_after_the_end_of_the_list() {
    assert_eq!(
        read(&[3, 3, 7, 0, 2, 4, 5, 180]),
        Options {
            window_scale: Some(7),
            ..Options::default()
        }
    );
    assert_eq!(read(&[0, 2, 0, 0]), Options::default());
}

#[test]
fn options_emit_are_laid_out_as_linux_does() {
    let syn = Options {
        mss: Some(1460),
        window_scale: Some(7),
        sack_permitted: true,
        timestamps: Some(STAMPS),
        ..Options::default()
    };
    assert_eq!(
        written(&syn),
        [
            2, 4, 5, 180, 4, 2, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 3, 3, 7
        ]
    );
    let bare = Options {
        sack_permitted: true,
        ..Options::default()
    };
    assert_eq!(written(&bare), [1, 1, 4, 2]);
    let data = Options {
        timestamps: Some(STAMPS),
        ..Options::default()
    };
    assert_eq!(written(&data), [1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8]);
    assert!(written(&Options::default()).is_empty());
}

/// 7413-2.
#[test]
fn options_parse_a_fast_open_cookie_of_another_length_is_ignored() {
    for len in 0..=30u8 {
        let mut area = alloc::vec![3, 3, 7, 34, 2 + len];
        area.extend((0..len).map(|byte| byte + 100));
        let allowed = matches!(len, 0 | 4..=16) && len % 2 == 0;
        let cookie = FastOpenCookie::new(&area[5..]);
        assert_eq!(cookie.is_some(), allowed, "{len} bytes");
        let options = read(&area);
        assert_eq!((options.fast_open, options.window_scale), (cookie, Some(7)));
    }
}

/// What Linux 6.18 sends, by tcpdump: the option last, NOPs behind it.
#[test]
fn options_emit_a_fast_open_cookie_is_the_last_as_in_linux() {
    let with = |fast_open| Options {
        mss: Some(1460),
        window_scale: Some(10),
        fast_open,
        ..Options::default()
    };
    let request = written(&with(Some(FastOpenCookie::REQUEST)));
    assert_eq!(request[8..], [34, 2, 1, 1]);
    let cookie = FastOpenCookie::new(&[1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(
        written(&with(cookie))[8..],
        [34, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 1]
    );
    let even = FastOpenCookie::new(&[7; 6]);
    assert_eq!(written(&with(even))[8..], [34, 8, 7, 7, 7, 7, 7, 7]);
    for fast_open in [request, written(&with(cookie)), written(&with(even))] {
        assert_eq!(written(&read(&fast_open)), fast_open);
    }
    // The longest still fits beside all that a SYN has.
    let full = Options {
        sack_permitted: true,
        timestamps: Some(STAMPS),
        ..with(FastOpenCookie::new(&[5; 16]))
    };
    assert_eq!(written(&full).len(), MAX_OPTIONS_LEN);
    assert_eq!(read(&written(&full)), full);
}

#[test]
fn options_displayed_name_each_that_is_there() {
    let syn = Options {
        mss: Some(1460),
        window_scale: Some(7),
        sack_permitted: true,
        timestamps: Some(STAMPS),
        ..Options::default()
    };
    assert_eq!(syn.to_string(), "mss 1460,sackOK,ts 16909060:84281096,ws 7");
    let mut sack = SackBlocks::default();
    assert!(sack.push(Seq(105), Seq(110)) && sack.push(Seq(1), Seq(9)));
    assert_eq!(
        Options {
            sack,
            ..Options::default()
        }
        .to_string(),
        "sack 105-110 1-9"
    );
    assert_eq!(
        Options {
            window_scale: Some(0),
            ..Options::default()
        }
        .to_string(),
        "ws 0"
    );
    assert_eq!(Options::default().to_string(), "");
    for (cookie, text) in [
        (&[][..], "tfo"),
        (&[0x59, 0x8c, 0xf8, 0x0a], "tfo 598cf80a"),
    ] {
        let fast_open = FastOpenCookie::new(cookie);
        let options = Options {
            fast_open,
            ..Options::default()
        };
        assert_eq!(options.to_string(), text);
        assert_eq!(text.parse::<Options>().unwrap(), options);
    }
    for text in ["tfo 5", "tfo 59", "tfo é1", "tfo 598cf80", "tfo +1+1+1+1"] {
        assert!(text.parse::<Options>().is_err(), "{text}");
    }
}

#[test]
fn options_emit_four_sack_blocks_beside_timestamps_keeps_the_first_three() {
    let mut sack = SackBlocks::default();
    for left in 1..=4 {
        assert!(sack.push(Seq(left * 10), Seq(left * 10 + 5)));
    }
    assert!(!sack.push(Seq(50), Seq(55)));
    let area = written(&Options {
        sack,
        timestamps: Some(STAMPS),
        ..Options::default()
    });
    assert_eq!(area.len(), MAX_OPTIONS_LEN);
    assert_eq!(read(&area).sack.as_slice(), &sack.as_slice()[..3]);
    assert_eq!(
        written(&Options {
            sack,
            ..Options::default()
        })
        .len(),
        36
    );
}

const SYN: Options = Options {
    mss: Some(1460),
    window_scale: Some(7),
    sack_permitted: true,
    sack: SackBlocks::NONE,
    timestamps: Some(STAMPS),
    fast_open: None,
};

/// RFC 7323 Appendix A.
#[test]
fn options_emit_padded_each_ends_at_a_multiple_of_four() {
    let written = |options| laid_out(&options, OptionLayout::Padded);
    let stamps = [1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8];
    let syn = [&[2, 4, 5, 180, 1, 3, 3, 7], &stamps[..], &[1, 1, 4, 2]].concat();
    assert_eq!(written(SYN), syn);
    let without_stamps = Options {
        timestamps: None,
        ..SYN
    };
    assert_eq!(
        written(without_stamps),
        [2, 4, 5, 180, 1, 3, 3, 7, 1, 1, 4, 2]
    );
}

/// `tcp_addoptions` of FreeBSD 14: `while (optlen % 2)` before SACK-permitted, `(optlen + 2) % 4`
/// before timestamps.
#[test]
fn options_emit_as_freebsd_ends_with_the_end_of_the_list() {
    let written = |options| laid_out(&options, OptionLayout::FreeBsd);
    let stamps = [8, 10, 1, 2, 3, 4, 5, 6, 7, 8];
    let syn = [&[2, 4, 5, 180, 1, 3, 3, 7, 4, 2], &stamps[..]].concat();
    assert_eq!(written(SYN), syn);
    let plain = Options {
        mss: Some(1460),
        sack_permitted: true,
        ..Options::default()
    };
    assert_eq!(written(plain), [2, 4, 5, 180, 4, 2, 0, 0]);
    let stamped = Options {
        mss: Some(1460),
        timestamps: Some(STAMPS),
        ..Options::default()
    };
    let expected = [&[2, 4, 5, 180, 1, 1], &stamps[..]].concat();
    assert_eq!(written(stamped), expected);
}

proptest! {
    /// What a SYN has comes back from every layout, whatever its cookie: none is left out.
    #[test]
    fn options_emit_in_every_layout_parse_reads_them_back(
        mss in proptest::option::of(any::<u16>()),
        shift in proptest::option::of(0u8..=14),
        sack_permitted: bool,
        stamps in proptest::option::of(any::<(u32, u32)>()),
        cookie in proptest::option::of(0usize..=8),
    ) {
        let options = Options {
            mss,
            window_scale: shift,
            sack_permitted,
            timestamps: stamps.map(|(value, echo)| Timestamps { value, echo }),
            fast_open: cookie.and_then(|half| FastOpenCookie::new(&[7; 16][..2 * half])),
            ..Options::default()
        };
        for layout in OptionLayout::ALL {
            let area = laid_out(&options, layout);
            prop_assert_eq!(area.len() % 4, 0);
            prop_assert_eq!(read(&area), options, "{}", layout);
        }
    }
}
