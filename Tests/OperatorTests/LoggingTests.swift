import Control
import Foundation
import Logging
import Operator
import Synchronization
import Testing

/// Log lines and their bounds, with a clock that the test turns.
@Suite struct LoggingTests {
    private final class Tape: Sendable {
        let lines = Mutex<[String]>([])
        let time = Atomic<UInt64>(1_767_225_600_000_000)
        let isFull = Atomic<Bool>(false)

        func logger(burst: Int = 100, format: LogFormat = .text) -> Logger {
            let sink = LogSink(
                format: format, burst: burst, linesPerSecond: 10, now: { self.time.load(ordering: .relaxed) },
                output: { line in
                    if self.isFull.load(ordering: .relaxed) { return false }
                    self.lines.withLock { $0.append(line) }
                    return true
                })
            return Logger(label: "test") { _ in LineLogHandler(sink: sink) }
        }

        func take() -> [String] {
            lines.withLock { lines in
                defer { lines = [] }; return lines
            }
        }
    }

    @Test func oneEventIsOneLine() {
        let tape = Tape()
        tape.logger().info(
            "transfer committed",
            metadata: ["transfer": "17", "proxy": "p1", "path": "/a b", "q": "say \"x\"", "e": ""])
        #expect(
            tape.take() == [
                "2026-01-01T00:00:00.000Z info transfer committed e=\"\" path=\"/a b\" proxy=p1 q=\"say \\\"x\\\"\" transfer=17\n"
            ])
    }

    @Test func entriesOfTheControlCoreKeepTheirOrder() {
        let tape = Tape()
        tape.logger().record(ControlLogEntry(.warning, "proxy down", [("proxy", "p1"), ("because", "no answer")]))
        tape.logger().record(ControlLogEntry(.debug, "not shown"))
        #expect(tape.take() == ["2026-01-01T00:00:00.000Z warning proxy down proxy=p1 because=\"no answer\"\n"])
    }

    @Test func linesCannotBeForged() {
        let tape = Tape()
        tape.logger().info("host", metadata: ["host": "a\n2026 error forged"])
        #expect(tape.take() == ["2026-01-01T00:00:00.000Z info host host=\"a\\u{a}2026 error forged\"\n"])
    }

    @Test func floodsAreSuppressedAndCounted() {
        let tape = Tape()
        let logger = tape.logger(burst: 3)
        for index in 0..<10 { logger.info("line \(index)") }
        #expect(tape.take().count == 3)
        tape.time.add(200_000, ordering: .relaxed)
        logger.info("after")
        #expect(
            tape.take() == [
                "2026-01-01T00:00:00.200Z warning lines suppressed count=7 most=\"line 3\" causes=7\n",
                "2026-01-01T00:00:00.200Z info after\n",
            ])
    }

    @Test func aFullPipeLosesLinesAndNotTime() {
        let tape = Tape()
        let logger = tape.logger()
        tape.isFull.store(true, ordering: .relaxed)
        logger.info("lost")
        logger.info("lost")
        tape.isFull.store(false, ordering: .relaxed)
        logger.info("kept")
        #expect(
            tape.take().map { $0.dropFirst(25) } == ["warning lines suppressed count=2 most=lost\n", "info kept\n"])
    }

    @Test func aFloodOfOneEventLeavesRoomForOthers() {
        let tape = Tape()
        let logger = tape.logger(burst: 10)
        for _ in 0..<1_000 { logger.info("flood") }
        logger.warning("something else")
        let lines = tape.take()
        #expect(lines.count { $0.contains(" flood") } == 5)
        #expect(lines.last?.hasSuffix("warning something else\n") == true)
    }

    @Test func programsGetAnObjectALine() throws {
        let tape = Tape()
        let logger = tape.logger(format: .json)
        logger.record(ControlLogEntry(.warning, "proxy down", [("proxy", "p1"), ("level", "x"), ("why", "\"a\"\nb")]))
        #expect(
            tape.take() == [
                #"{"time":"2026-01-01T00:00:00.000Z","level":"warning","event":"proxy down","proxy":"p1","level_":"x","#
                    + #""why":"\"a\"\nb"}"# + "\n"
            ])
        // However long: each line is whole, and fits.
        let metadata = Logger.Metadata(
            uniqueKeysWithValues: (0..<20).map { ("field\($0)", .string(String(repeating: "é\u{1}", count: 900))) })
        logger.info("long", metadata: metadata)
        let line = try #require(tape.take().first)
        #expect(line.utf8.count < 4_096)
        let object = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any]
        #expect(object?["event"] as? String == "long" && object?["cut"] as? Bool == true)
    }

    @Test func longLinesAreCut() {
        let tape = Tape()
        tape.logger().info("\(String(repeating: "é", count: 5_000))")
        #expect(tape.take()[0].utf8.count < 4_096)
    }
}
