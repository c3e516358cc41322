internal import Logging
internal import Streams
internal import StrictYAML

// What SIGHUP changes in a running agent.
extension Agent {
    /// Reads the configuration file again, with the rights that are left, and uses the keys that it names now. Whatever
    /// is wrong is told in the log, and the keys stay as they are.
    public func readKeysAgain(_ path: String) {
        let (latest, problems) = AgentConfiguration.load(path)
        for problem in problems { logger.log(level: problem.isError ? .error : .warning, "\(problem)") }
        guard let latest else { return logger.error("the keys stay as they are") }
        loop.tell(.keys(latest.channel.keys))
        if !configuration.channel.secureStreams.isEmpty {
            do { loop.use(try ServerIdentity(latest.channel.tls)) } catch {
                logger.error("the certificate stays as it is: \(error)")
            }
        }
        var others = latest
        others.channel.keys = configuration.channel.keys
        others.channel.tls = configuration.channel.tls
        if others != configuration {
            logger.warning(
                "only keys and certificates are read anew: other changes of the file wait for a restart or --take-over")
        }
    }
}
