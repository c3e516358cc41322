import Adoption
import Testing

@Suite struct HostLoadTests {
    /// The page cache takes what nobody else wants: of 8 GiB, 7 GiB in use by it are no load.
    @Test func thePageCacheIsNoLoad() {
        let text = """
            MemTotal:        8388608 kB
            MemFree:          524288 kB
            MemAvailable:    7340032 kB
            Cached:          6815744 kB
            """
        #expect(HostLoad.memoryUse(text) == 125)
    }

    @Test(arguments: ["", "MemTotal: 1", "MemTotal: 0 kB\nMemAvailable: 0 kB", "MemTotal: x\nMemAvailable: 3 kB"])
    func whatDoesNotReadLikeMeminfoSaysNothing(text: String) {
        #expect(HostLoad.memoryUse(text) == nil)
    }

    @Test(arguments: [("0.40 1.00 2.00 1/100 1\n", 200), ("9.99 1.00 2.00 1/100 1\n", 1_000), ("0.00 0 0", 0)])
    func averagesAreForEachProcessor(text: String, thousandths: UInt16) {
        #expect(HostLoad.processorUse(text, processors: 2) == thousandths)
    }

    @Test(arguments: ["", "x", "-1.00 0", "nan 0"])
    func whatDoesNotReadLikeLoadavgSaysNothing(text: String) {
        #expect(HostLoad.processorUse(text, processors: 2) == nil)
    }

    @Test func moreAvailableThanThereIsIsNoUse() {
        #expect(HostLoad.memoryUse("MemTotal: 100 kB\nMemAvailable: 200 kB") == 0)
    }
}
