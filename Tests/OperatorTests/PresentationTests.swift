import Control
import Operator
import Testing

/// Tables and texts for people.
@Suite struct PresentationTests {
    private let table: Table = {
        var table = Table([.text("NAME", mayShrink: true), .number("COUNT"), .text("NOTE")])
        table.add(["p1", "7", "fine"])
        table.add(["a-rather-long-name", "1234567", ""])
        return table
    }()

    @Test func columnsAreAligned() {
        #expect(
            table.lines(PrintStyle()) == [
                "NAME                  COUNT  NOTE",
                "p1                        7  fine",
                "a-rather-long-name  1234567  -",
            ])
    }

    @Test func keysAreShownByNumber() {
        var status = KeysStatus()
        var key = KeyStatus()
        (key.key, key.role, key.file, key.notAfter) = (1, "previous", "/etc/baton/key1", 980_899_200)
        status.keys.append(key)
        var channel = ChannelKeyStatus()
        (channel.proxy, channel.state, channel.key, channel.sought, channel.held) = ("p1", "up", 1, 2, [1, 2])
        status.channels.append(channel)
        #expect(
            Presentation.keys(status, PrintStyle()) == """
                KEY  ROLE      NOT BEFORE  NOT AFTER             FILE
                  1  previous  -           2001-01-31T00:00:00Z  /etc/baton/key1

                CHANNEL  STATE    KEY  AGENT HOLDS
                p1       up     1 → 2  1, 2
                """)
    }

    @Test func narrowTerminalsCutTheWidestColumn() {
        #expect(
            table.lines(PrintStyle(width: 27)) == [
                "NAME            COUNT  NOTE",
                "p1                  7  fine",
                "a-rather-lo…  1234567  -",
            ])
    }

    @Test func emphasisOnlyWhenAsked() {
        #expect(table.lines(PrintStyle(isColoured: true))[0] == "\u{1B}[1mNAME                  COUNT  NOTE\u{1B}[0m")
    }

    @Test func strangersCannotWriteToTheTerminal() {
        var table = Table([.text("PATH")])
        table.add(["/\u{1B}[2J\u{202E}é"])
        #expect(table.lines(PrintStyle())[1] == "/\\u{1b}[2J\\u{202e}é")
    }

    @Test func emptyListsSayWhy() {
        #expect(Presentation.proxies([], PrintStyle()) == "no proxies are configured")
        #expect(Presentation.flowCounts(FlowCensus(), PrintStyle()) == "no such flows")
        #expect(Presentation.transfers([], PrintStyle()) == "no transfers yet")
    }

    @Test func statusShowsWhatMatters() {
        var status = DirectorStatus()
        status.name = "d1"
        status.version = "0.1.0"
        status.uptimeSeconds = 3_725
        status.algorithm = "round-robin"
        status.transfers = ["committed": 3, "nack": 1, "timeout": 0]
        status.proxiesUp = 1
        status.proxiesConfigured = 2
        status.bypass = true
        var worker = WorkerStatus()
        worker.lcore = 1
        worker.counters = ["receivedFromClients": 12, "handedOver": 0]
        worker.gauges = ["flows": 4]
        status.workers = [worker]
        #expect(
            Presentation.status(status, PrintStyle()) == """
                director    d1 (0.1.0), up 1h 2min
                transfers   0 pending, 3 committed, 1 nack
                proxies     1 of 2 up
                algorithm   round-robin
                crtp        no frames yet
                bypass      on: nothing is held, every request goes to the origin

                worker 0 (lcore 1)   value
                flows                    4
                receivedFromClients     12
                """)
    }

    @Test(arguments: [
        (0.0, "0.0s"), (1.25, "1.3s"), (42, "42s"), (61, "1min 1s"), (3_600, "1h 0min"), (90_000, "1d 1h"),
    ])
    func durations(_ seconds: Double, _ text: String) {
        #expect(Presentation.duration(seconds) == text)
    }
}
