import Testing
import Wire

/// The vectors that came with SipHash-2-4: the key is 00 01 … 0f, the message 00 01 … of each length from 0 to 63; values
/// are written in the order of their bytes. `openssl mac -macopt size:8 SipHash` says the same.
private let vectors: [UInt64] = [
    0x310E_0EDD_47DB_6F72, 0xFD67_DC93_C539_F874, 0x5A4F_A9D9_0980_6C0D, 0x2D7E_FBD7_9666_6785,
    0xB787_7127_E094_27CF, 0x8DA6_99CD_6455_7618, 0xCEE3_FE58_6E46_C9CB, 0x37D1_018B_F500_02AB,
    0x6224_939A_79F5_F593, 0xB0E4_A90B_DF82_009E, 0xF3B9_DD94_C5BB_5D7A, 0xA7AD_6B22_462F_B3F4,
    0xFBE5_0E86_BC8F_1E75, 0x903D_84C0_2756_EA14, 0xEEF2_7A8E_90CA_23F7, 0xE545_BE49_61CA_29A1,
    0xDB9B_C257_7FCC_2A3F, 0x9447_BE2C_F5E9_9A69, 0x9CD3_8D96_F0B3_C14B, 0xBD61_79A7_1DC9_6DBB,
    0x98EE_A21A_F25C_D6BE, 0xC767_3B2E_B0CB_F2D0, 0x883E_A3E3_9567_5393, 0xC8CE_5CCD_8C03_0CA8,
    0x94AF_49F6_C650_ADB8, 0xEAB8_858A_DE92_E1BC, 0xF315_BB5B_B835_D817, 0xADCF_6B07_6361_2E2F,
    0xA5C9_1DA7_ACAA_4DDE, 0x7165_9587_6650_A2A6, 0x28EF_495C_53A3_87AD, 0x42C3_41D8_FA92_D832,
    0xCE7C_F272_2F51_2771, 0xE378_59F9_4623_F3A7, 0x3812_05BB_1AB0_E012, 0xAE97_A10F_D434_E015,
    0xB4A3_1508_BEFF_4D31, 0x8139_6229_F090_7902, 0x4D0C_F49E_E5D4_DCCA, 0x5C73_336A_76D8_BF9A,
    0xD0A7_0453_6BA9_3E0E, 0x9259_58FC_D642_0CAD, 0xA915_C29B_C806_7318, 0x952B_79F3_BC0A_A6D4,
    0xF21D_F2E4_1D45_35F9, 0x8757_7519_048F_53A9, 0x10A5_6CF5_DFCD_9ADB, 0xEB75_095C_CD98_6CD0,
    0x51A9_CB9E_CBA3_12E6, 0x96AF_ADFC_2CE6_66C7, 0x72FE_5297_5A43_64EE, 0x5A16_45B2_76D5_92A1,
    0xB274_CB8E_BF87_870A, 0x6F9B_B420_3DE7_B381, 0xEAEC_B2A3_0B22_A87F, 0x9924_A43C_C131_5724,
    0xBD83_8D3A_AFBF_8DB7, 0x0B1A_2A32_65D5_1AEA, 0x1350_79A3_231C_E660, 0x932B_2846_E4D7_0666,
    0xE191_5F5C_B1EC_A46C, 0xF325_965C_A16D_629F, 0x575F_F28E_6038_1BE5, 0x7245_06EB_4C32_8A95,
]

private func sipHash(_ message: [UInt8], _ secret: CookieSecret) -> UInt64 {
    func little(_ bytes: some Collection<UInt8>) -> UInt64 { bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) } }
    var hash = SipHash(secret)
    let whole = message.count / 8 * 8
    for start in stride(from: 0, to: whole, by: 8) { hash.add(little(message[start..<start + 8])) }
    return hash.finish(tail: little(message[whole...]), length: UInt8(message.count))
}

@Test func sipHashOfThePublishedVectors() {
    let secret = CookieSecret(low: 0x0706_0504_0302_0100, high: 0x0F0E_0D0C_0B0A_0908)
    for (length, expected) in vectors.enumerated() {
        let message = (0..<length).map { UInt8($0) }
        #expect(sipHash(message, secret).byteSwapped == expected, "length \(length)")
    }
    #expect(vectors.count == 64)
}
