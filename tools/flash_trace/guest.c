/* SPDX-License-Identifier: Apache-2.0 */
/*
 * First process of the guest that traces are recorded with: sets, deletes and
 * lists UEFI variables as it is told on its serial console, one line for each
 * command, and one line in answer. Lines of its own begin with "@", so that
 * what firmware and kernel say is told apart. See guest.py for the commands.
 */
#include <errno.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/klog.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

#define VARS "/sys/firmware/efi/efivars"
#define LINE 262144
#define CONTENT 131072

static char line[LINE];
static uint8_t content[CONTENT];

static void say(const char *text)
{
	size_t left = strlen(text);

	while (left) {
		ssize_t done = write(1, text, left);

		if (done < 0)
			continue;
		text += done;
		left -= done;
	}
}

/* Linux protects variables that it does not know: clear FS_IMMUTABLE_FL. */
static void unprotect(const char *path)
{
	int flags = 0, handle = open(path, O_RDONLY);

	if (handle < 0)
		return;
	if (ioctl(handle, FS_IOC_GETFLAGS, &flags) == 0) {
		flags &= ~FS_IMMUTABLE_FL;
		ioctl(handle, FS_IOC_SETFLAGS, &flags);
	}
	close(handle);
}

/* Attributes and content in one write(), which is one SetVariable(). */
static int set(const char *path, uint32_t attributes, size_t length)
{
	int handle, known = access(path, F_OK) == 0, result = 0;

	unprotect(path);
	handle = open(path, O_WRONLY | O_CREAT, 0644);
	if (handle < 0)
		return errno;
	memcpy(content, &attributes, sizeof(attributes));
	if (write(handle, content, length + sizeof(attributes)) < 0)
		result = errno;
	close(handle);
	/* The file of a variable that could not be made stays otherwise. */
	if (result && !known) {
		unprotect(path);
		unlink(path);
	}
	return result;
}

static int set_pattern(const char *path, uint32_t sequence,
		       uint32_t attributes, size_t length)
{
	for (size_t at = 0; at < length; at++)
		content[4 + at] = sequence >> (at % 4 * 8);
	return set(path, attributes, length);
}

static int set_hexadecimal(const char *path, uint32_t attributes,
			   const char *text)
{
	size_t length = 0;
	unsigned int byte;

	for (; sscanf(text, "%2x", &byte) == 1; text += 2)
		content[4 + length++] = byte;
	return set(path, attributes, length);
}

static int delete(const char *path)
{
	unprotect(path);
	return unlink(path) ? errno : 0;
}

/* "@var FILE ATTRIBUTES LENGTH FNV-1A" of each variable. */
static void list(void)
{
	static char path[1024], text[1200];
	struct dirent *entry;
	DIR *directory = opendir(VARS);

	while (directory && (entry = readdir(directory))) {
		uint64_t hash = 0xcbf29ce484222325;
		uint32_t attributes = 0;
		ssize_t length;
		int handle;

		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), VARS "/%s", entry->d_name);
		handle = open(path, O_RDONLY);
		length = read(handle, content, CONTENT);
		close(handle);
		if (length < 4)
			continue;
		memcpy(&attributes, content, 4);
		for (ssize_t at = 4; at < length; at++)
			hash = (hash ^ content[at]) * 0x100000001b3;
		snprintf(text, sizeof(text), "@var %s %x %zd %016llx\n",
			 entry->d_name, attributes, length - 4,
			 (unsigned long long)hash);
		say(text);
	}
	if (directory)
		closedir(directory);
}

static void obey(void)
{
	static char path[1024], answer[64];
	char *words[6] = { 0 }, *rest = line;
	int result = EINVAL;

	for (int count = 0; count < 6; count++)
		if (!(words[count] = strsep(&rest, " ")))
			break;
	if (!words[1])
		return;
	if (words[2])
		snprintf(path, sizeof(path), VARS "/%s", words[2]);
	if (!strcmp(words[0], "reboot"))
		reboot(RB_AUTOBOOT);
	if (!strcmp(words[0], "list")) {
		list();
		result = 0;
	} else if (!strcmp(words[0], "delete") && words[2]) {
		result = delete(path);
	} else if (!strcmp(words[0], "set") && words[4]) {
		result = set_pattern(path, atoi(words[1]),
				     strtoul(words[3], NULL, 16),
				     atoi(words[4]));
	} else if (!strcmp(words[0], "hex") && words[4]) {
		result = set_hexadecimal(path, strtoul(words[3], NULL, 16),
					 words[4]);
	}
	snprintf(answer, sizeof(answer), "\n@end %s %d\n", words[1], result);
	say(answer);
}

static void take_console(void)
{
	struct termios settings;
	int handle = open("/dev/ttyAMA0", O_RDWR);

	dup2(handle, 0);
	dup2(handle, 1);
	dup2(handle, 2);
	tcgetattr(0, &settings);
	cfmakeraw(&settings);
	tcsetattr(0, TCSANOW, &settings);
}

int main(void)
{
	size_t length = 0;
	char byte;
	int module;

	mount("dev", "/dev", "devtmpfs", 0, NULL);
	mount("proc", "/proc", "proc", 0, NULL);
	mount("sysfs", "/sys", "sysfs", 0, NULL);
	take_console();
	klogctl(8, NULL, 1);
	module = open("/efivarfs.ko", O_RDONLY);
	if (module >= 0)
		syscall(SYS_finit_module, module, "", 0);
	mount("efivarfs", VARS, "efivarfs", 0, NULL);
	say("\n@up\n");
	while (read(0, &byte, 1) == 1) {
		if (byte != '\n' && length < LINE - 1) {
			line[length++] = byte;
			continue;
		}
		line[length] = 0;
		length = 0;
		obey();
	}
	reboot(RB_POWER_OFF);
	return 0;
}
