/* A driver's management library for machines without NPUs: the part of DCMI's binary interface that the harness uses,
 * as HUAWEI's DCMI reference describes it, and below it the functions with which a test says what it shall answer.
 * -DBARE: a product or driver that knows which chips there are and nothing else. */

#include <string.h>

enum { CHIPS = 8, PROCESSES = 32, FUNCTIONS = 32, NAME = 32 };

struct dcmi_chip_info {
    unsigned char chip_type[NAME], chip_name[NAME], chip_ver[NAME];
    unsigned int aicore_cnt;
};

struct dcmi_hbm_info {
    unsigned long long memory_size;
    unsigned int freq;
    unsigned long long memory_usage;
    int temp;
    unsigned int bandwith_util_rate;
};

struct dcmi_get_memory_info_stru {
    unsigned long long memory_size;
    unsigned long long memory_available;
    unsigned int freq;
    unsigned long hugepagesize, hugepages_total, hugepages_free;
    unsigned int utiliza;
    unsigned char reserve[60];
};

struct dcmi_aicore_info {
    unsigned int freq, cur_freq;
};

struct dcmi_ecc_info {
    int enable_flag;
    unsigned int single_bit_error_cnt, double_bit_error_cnt, total_single_bit_error_cnt, total_double_bit_error_cnt;
    unsigned int single_bit_isolated_pages_cnt, double_bit_isolated_pages_cnt;
};

struct dcmi_proc_mem_info {
    int proc_id;
    unsigned long proc_mem_usage;
};

static struct {
    int card, device, logic;
    char name[NAME];
    unsigned long long hbm_used, hbm_total, ddr_available, ddr_total;
    int deciwatts, celsius;
    unsigned int percent, health;
    int process_count;
    struct dcmi_proc_mem_info processes[PROCESSES];
} chips[CHIPS];
static int chip_count;

static struct {
    char function[64];
    int code;
} refusals[FUNCTIONS];
static int refusal_count;

int stand_in_inits;

static int refused(const char *function)
{
    for (int i = 0; i < refusal_count; i++)
        if (strcmp(refusals[i].function, function) == 0)
            return refusals[i].code;
    return 0;
}

static int find(int card, int device)
{
    for (int i = 0; i < chip_count; i++)
        if (chips[i].card == card && chips[i].device == device)
            return i;
    return -1;
}

/* Answers as the test said, or looks for the chip. */
#define FIND(chip)                                  \
    int chip = find(card, device);                  \
    if (refused(__func__) != 0)                     \
        return refused(__func__);                   \
    if (!stand_in_inits || chip < 0)                \
        return -8001

int dcmi_init(void)
{
    if (refused(__func__) == 0)
        stand_in_inits++;
    return refused(__func__);
}

int dcmi_get_card_list(int *count, int *list, int length)
{
    if (refused(__func__) != 0 || !stand_in_inits)
        return refused(__func__) ? refused(__func__) : -8001;
    *count = 0;
    for (int i = 0; i < chip_count && *count < length; i++)
        if (*count == 0 || list[*count - 1] != chips[i].card)
            list[(*count)++] = chips[i].card;
    return 0;
}

int dcmi_get_device_id_in_card(int card, int *device_id_max, int *mcu_id, int *cpu_id)
{
    *device_id_max = 0;
    for (int i = 0; i < chip_count; i++)
        *device_id_max += chips[i].card == card;
    *mcu_id = *device_id_max;
    *cpu_id = -1;
    return refused(__func__);
}

#ifndef BARE
int dcmi_get_device_logic_id(int *logic, int card, int device)
{
    FIND(chip);
    *logic = chips[chip].logic;
    return 0;
}

int dcmi_get_device_chip_info(int card, int device, struct dcmi_chip_info *info)
{
    FIND(chip);
    memset(info, 0, sizeof *info);
    strcpy((char *)info->chip_type, "Ascend");
    memcpy(info->chip_name, chips[chip].name, NAME);
    strcpy((char *)info->chip_ver, "V1");
    info->aicore_cnt = 20;
    return 0;
}

int dcmi_get_device_health(int card, int device, unsigned int *health)
{
    FIND(chip);
    *health = chips[chip].health;
    return 0;
}

int dcmi_get_device_power_info(int card, int device, int *power)
{
    FIND(chip);
    if (chips[chip].deciwatts < 0)
        return -8255;
    *power = chips[chip].deciwatts;
    return 0;
}

int dcmi_get_device_temperature(int card, int device, int *temperature)
{
    FIND(chip);
    *temperature = chips[chip].celsius;
    return 0;
}

int dcmi_get_device_utilization_rate(int card, int device, int input_type, unsigned int *rate)
{
    FIND(chip);
    if (input_type != 2)
        return -8255;
    *rate = chips[chip].percent;
    return 0;
}

int dcmi_get_device_hbm_info(int card, int device, struct dcmi_hbm_info *info)
{
    FIND(chip);
    if (chips[chip].hbm_total == 0)
        return -8255;
    *info = (struct dcmi_hbm_info){chips[chip].hbm_total, 1600, chips[chip].hbm_used, 40, 7};
    return 0;
}

int dcmi_get_device_memory_info_v3(int card, int device, struct dcmi_get_memory_info_stru *info)
{
    FIND(chip);
    memset(info, 0xAA, sizeof *info);
    info->memory_size = chips[chip].ddr_total;
    info->memory_available = chips[chip].ddr_available;
    return 0;
}

int dcmi_get_device_aicore_info(int card, int device, struct dcmi_aicore_info *info)
{
    FIND(chip);
    *info = (struct dcmi_aicore_info){1800, 800};
    return 0;
}

int dcmi_get_device_ecc_info(int card, int device, int input_type, struct dcmi_ecc_info *info)
{
    FIND(chip);
    if (input_type != (chips[chip].hbm_total ? 2 : 0))
        return -8255;
    memset(info, 0xAA, sizeof *info);
    info->enable_flag = 1;
    return 0;
}

int dcmi_get_device_resource_info(int card, int device, struct dcmi_proc_mem_info *processes, int *count)
{
    FIND(chip);
    memcpy(processes, chips[chip].processes, chips[chip].process_count * sizeof *processes);
    *count = chips[chip].process_count;
    return 0;
}
#endif

void stand_in_chip(int card, int device, int logic, const char *name, int deciwatts, int celsius, unsigned int percent)
{
    int chip = chip_count++;
    chips[chip].card = card;
    chips[chip].device = device;
    chips[chip].logic = logic;
    strncpy(chips[chip].name, name, NAME);
    chips[chip].deciwatts = deciwatts;
    chips[chip].celsius = celsius;
    chips[chip].percent = percent;
}

void stand_in_memory(int card, int device, unsigned long long hbm_used, unsigned long long hbm_total,
    unsigned long long ddr_available, unsigned long long ddr_total)
{
    int chip = find(card, device);
    chips[chip].hbm_used = hbm_used;
    chips[chip].hbm_total = hbm_total;
    chips[chip].ddr_available = ddr_available;
    chips[chip].ddr_total = ddr_total;
}

void stand_in_process(int card, int device, int pid, unsigned long bytes)
{
    int chip = find(card, device);
    chips[chip].processes[chips[chip].process_count++] = (struct dcmi_proc_mem_info){pid, bytes};
}

void stand_in_refuse(const char *function, int code)
{
    for (int i = 0; i < refusal_count; i++)
        if (strcmp(refusals[i].function, function) == 0) {
            refusals[i].code = code;
            return;
        }
    strncpy(refusals[refusal_count].function, function, sizeof refusals[0].function - 1);
    refusals[refusal_count++].code = code;
}
