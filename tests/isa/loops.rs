//! Programs whose instructions are known.

use crate::assembly::{Mix, inner_loop};

const PROGRAM: &str = "
BB0:
\ts_load_dwordx4 s[0:3], s[2:3], null ; f4080001
BB1:
\ts_waitcnt vmcnt(0) ; bf8c3f70
BB2:
\tbuffer_load_dwordx4 v[0:3], v4, s[0:3], 0 offen ; e0381000
\tv_fmac_f32_e32 v5, v0, v1 ; 560a0300
\tv_dual_fmac_f32 v6, v0, v1 :: v_dual_fmac_f32 v7, v2, v3 ; c8
\tv_mad_u32_u24 v1, v2, v3, v4 ; d5430001
\tds_read_b128 v[8:11], v12 ; dbfc0000
\ts_waitcnt vmcnt(0) ; bf8c3f70
\ts_cbranch_scc1 BB2 ; bf85fffc
BB3:
\tv_fma_f32 v1, v2, v3, v4 ; d54b0001
\ts_cbranch_scc0 BB1 ; bf84fff0
BB4:
\ts_endpgm ; bf810000
";

#[test]
fn the_innermost_loop_is_counted() {
    let mix = inner_loop(PROGRAM).unwrap();
    assert_eq!(mix, Mix { all: 7, fma: 3, loads: 1 });
    assert_eq!(inner_loop("v_fma_f32 v1, v2, v3, v4"), None);
}
